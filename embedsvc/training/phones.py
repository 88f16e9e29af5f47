"""The labels that a phone head tells apart."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from embedsvc.texts.ipa import cut, phones_of
from embedsvc.texts.timed import SILENCE, Timed, timed

__all__ = ["SILENCE", "Inventory", "Timed", "cut", "phones_of", "timed"]

LEAST = 150
"""Times that a phone must be heard to become a label of its own."""


@dataclass(frozen=True)
class Inventory:
    """Labels of a phone head; the first is silence, and the blank of CTC."""

    labels: tuple[str, ...]

    @classmethod
    def of(cls, phones: Iterable[Sequence[str]], least: int = LEAST) -> "Inventory":
        """Phones that are heard at least `least` times, sorted, after silence."""
        counts = Counter(phone for each in phones for phone in each if phone)
        return cls((SILENCE, *sorted(phone for phone, count in counts.items() if count >= least)))

    def encode(self, phones: Iterable[str]) -> list[int]:
        """Labels of phones, pauses left out.

        A phone that is not among the labels loses its last modifiers until it is; one whose
        letter is not is left out.
        """
        found = (self.label(phone) for phone in phones)
        return [label for label in found if label]

    def label(self, phone: str) -> int:
        """Label of one phone, 0 when there is none for it."""
        while phone:
            if phone in self._positions:
                return self._positions[phone]
            phone = phone[:-1]
        return 0

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {label: position for position, label in enumerate(self.labels)}
