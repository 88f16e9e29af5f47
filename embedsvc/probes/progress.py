"""How far a training is: steps of known number, of which fits may need fewer."""

from collections.abc import Callable

Tell = Callable[[int, int, str], None]
"""Told (done, total, what); may raise to end the training."""


class Progress:
    """Counts looks at the examples; a fit that needs fewer than its share jumps ahead."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell = tell
        self._total = total
        self._done = 0
        self._end = 0
        self._what = ""

    def begin(self, what: str, steps: int) -> None:
        """A part of at most `steps` begins, and the one before it is over."""
        self._done = self._end
        self._end = min(self._total, self._end + steps)
        self._what = what
        self._tell(self._done, self._total, what)

    def step(self) -> None:
        """One step of it is done."""
        self._done = min(self._done + 1, self._end)
        self._tell(self._done, self._total, self._what)

    def finish(self) -> None:
        """All is done."""
        self._tell(self._total, self._total, "done")
