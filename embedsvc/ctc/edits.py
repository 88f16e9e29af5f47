"""How what was heard differs from what was said, and error rates."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Edit(StrEnum):
    """What became of an item that was said, or where one that was heard is from."""

    SAME = "same"
    SUBSTITUTED = "substituted"
    INSERTED = "inserted"
    DELETED = "deleted"


@dataclass(frozen=True)
class Step:
    """One step through both sequences: places in what was heard and said, None where in one."""

    edit: Edit
    heard: int | None
    said: int | None


@dataclass(frozen=True)
class ErrorCounts:
    """Edits, and how many items were said; counts of several texts may be added."""

    substituted: int = 0
    inserted: int = 0
    deleted: int = 0
    said: int = 0

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.substituted + other.substituted,
            self.inserted + other.inserted,
            self.deleted + other.deleted,
            self.said + other.said,
        )

    @property
    def edits(self) -> int:
        """All edits."""
        return self.substituted + self.inserted + self.deleted

    @property
    def rate(self) -> float:
        """Edits for each item said; more than 1 when too much was heard."""
        return self.edits / max(1, self.said)


def steps(heard: Sequence[object], said: Sequence[object]) -> tuple[Step, ...]:
    """A shortest way from one sequence to the other (Levenshtein 1966).

    Of equally short ways it is the one that keeps or substitutes latest.

    >>> [step.edit.value for step in steps("bca", "abc")]
    ['deleted', 'same', 'same', 'inserted']
    """
    costs = _costs(heard, said)
    row, column = len(heard), len(said)
    found = []
    while row or column:
        here = costs[row, column]
        if row and column:
            same = heard[row - 1] == said[column - 1]
            if here == costs[row - 1, column - 1] + (not same):
                row, column = row - 1, column - 1
                found.append(Step(Edit.SAME if same else Edit.SUBSTITUTED, row, column))
                continue
        if row and here == costs[row - 1, column] + 1:
            row -= 1
            found.append(Step(Edit.INSERTED, row, None))
        else:
            column -= 1
            found.append(Step(Edit.DELETED, None, column))
    return tuple(reversed(found))


def _costs(heard: Sequence[object], said: Sequence[object]) -> NDArray[np.int32]:
    """Fewest edits between all beginnings, (heard + 1, said + 1)."""
    numbers = {item: number for number, item in enumerate(dict.fromkeys((*heard, *said)))}
    target = np.array([numbers[item] for item in said], np.int64)
    places = np.arange(len(said) + 1, dtype=np.int32)
    costs = np.empty((len(heard) + 1, len(said) + 1), np.int32)
    costs[0] = places
    for row, item in enumerate(heard, 1):
        before, here = costs[row - 1], costs[row]
        here[0] = row
        np.minimum(before[1:] + 1, before[:-1] + (target != numbers[item]), out=here[1:])
        # What is deleted costs one each: the least of all that come before in the row.
        here[:] = np.minimum.accumulate(here - places) + places
    return costs


def count(heard: Sequence[object], said: Sequence[object]) -> ErrorCounts:
    """Edits from what was said to what was heard."""
    edits = [step.edit for step in steps(heard, said)]
    return ErrorCounts(
        edits.count(Edit.SUBSTITUTED),
        edits.count(Edit.INSERTED),
        edits.count(Edit.DELETED),
        len(said),
    )


def word_errors(heard: str, said: str) -> ErrorCounts:
    """Edits of words, for the word error rate; texts are compared as they are written."""
    return count(heard.split(), said.split())


def character_errors(heard: str, said: str) -> ErrorCounts:
    """Edits of characters, for the character error rate; spaces count, each run of them as one."""
    return count(" ".join(heard.split()), " ".join(said.split()))


def right(heard: Sequence[object], said: Sequence[object]) -> tuple[bool, ...]:
    """Whether each item that was heard was said."""
    return tuple(step.edit is Edit.SAME for step in steps(heard, said) if step.heard is not None)
