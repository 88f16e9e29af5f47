"""Utterances on which the encoder failed, each alone: refused for a while, not tried again."""

from embedsvc.errors import AudioQuarantined

SECONDS = 600.0
CAPACITY = 1024


class Quarantine:
    """Digests of at most `CAPACITY` utterances, the latest, for ten minutes each."""

    def __init__(self) -> None:
        self._until: dict[bytes, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, digest: bytes, now: float) -> None:
        """From now on `digest` is refused."""
        self._until.pop(digest, None)
        self._until[digest] = now + SECONDS
        if len(self._until) > CAPACITY:
            del self._until[next(iter(self._until))]

    def check(self, digest: bytes, now: float) -> None:
        """Raise AudioQuarantined while `digest` is in here."""
        self._release(now)
        if digest in self._until:
            left = self._until[digest] - now
            raise AudioQuarantined(
                "`audio` must be audio that the encoder can take, but it failed on this one; "
                f"it is not tried again for {left:.0f} s",
                field="audio",
                quarantine_seconds=round(left),
            )

    def _release(self, now: float) -> None:
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] > now:
                return
            del self._until[oldest]
