"""How many phones of what was said a phone head hears."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedsvc import ctc
from embedsvc.ctc.runs import labels_of
from embedsvc.types import Floats

BLANK = 0


@dataclass(frozen=True)
class Errors:
    """Edits from what was heard to `phones` reference phones, over `clips` clips."""

    edits: int = 0
    phones: int = 0
    clips: int = 0

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(
            self.edits + other.edits, self.phones + other.phones, self.clips + other.clips
        )

    @property
    def rate(self) -> float:
        """Edits for each reference phone; more than 1 when too much was heard."""
        return self.edits / max(1, self.phones)


def greedy(scores: Floats) -> tuple[int, ...]:
    """The best label of each frame of (T, V), repeats merged and blanks dropped: CTC's rule."""
    return labels_of(ctc.greedy(scores, BLANK))


def reference(phones: Sequence[str], numbers: Mapping[str, int]) -> tuple[int, ...]:
    """Labels of `phones`, by their `numbers`.

    An unknown phone loses its modifiers from the end until it is known; one whose base is
    unknown is left out.

    >>> reference(["tʰʲ", "a", "!"], {"": 0, "a": 1, "tʰ": 2})
    (2, 1)
    """
    found = (_number(phone, numbers) for phone in phones)
    return tuple(number for number in found if number is not None)


def compare(heard: Sequence[int], said: Sequence[int]) -> Errors:
    """Errors of one clip."""
    return Errors(distance(heard, said), len(said), 1)


def distance(left: Sequence[int], right: Sequence[int]) -> int:
    """Fewest insertions, deletions and substitutions between two sequences (Levenshtein 1966).

    >>> distance([1, 2, 3], [2, 3, 4])
    2
    """
    row = list(range(len(right) + 1))
    for place, item in enumerate(left, 1):
        diagonal, row[0] = row[0], place
        for at, other in enumerate(right, 1):
            diagonal, row[at] = (
                row[at],
                min(row[at] + 1, row[at - 1] + 1, diagonal + (item != other)),
            )
    return row[-1]


def _number(phone: str, numbers: Mapping[str, int]) -> int | None:
    while phone:
        if phone in numbers:
            return numbers[phone]
        phone = phone[:-1]
    return None
