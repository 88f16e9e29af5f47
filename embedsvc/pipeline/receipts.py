"""What became of a write, and how that is kept so that a retry gets the same answer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from embedsvc import errors
from embedsvc.errors import EmbedsvcError
from embedsvc.index import Added
from embedsvc.types import AudioWarning, Timing, WarningCode


@dataclass(frozen=True)
class Stored:
    """What became of one submission; `place` is where it stood in the write, if it was in it.

    `error` is one of ours, or a bug whose text is nobody's business.
    """

    id: str
    error: BaseException | None = None
    warnings: tuple[AudioWarning, ...] = ()
    unchanged: bool = False
    segment_count: int = 0
    samples: int = 0
    frames: int = 0
    place: int | None = None


@dataclass(frozen=True)
class Written:
    """What became of a write; `results[i]` answers submission i."""

    results: tuple[Stored, ...]
    sequence: int
    timing: Timing = field(default_factory=Timing)


def written(added: Added, timing: Timing, results: Sequence[Stored] | None = None) -> Written:
    """The answer to a write; without `results`, they are those that `added` carries."""
    if results is None or added.replayed:
        results = [_stored(plain) for plain in json.loads(added.note)]
    joined = tuple(_failed(stored, added.failures) for stored in results)
    return Written(joined, added.sequence, timing)


def settled(results: Sequence[Stored]) -> bool:
    """Whether the same write would end the same way; a full queue is another matter later."""
    passing = (errors.Exhausted, errors.Unavailable)
    return all(
        stored.error is None
        or (isinstance(stored.error, EmbedsvcError) and not isinstance(stored.error, passing))
        for stored in results
    )


def note(results: Sequence[Stored]) -> str:
    """The results as text, to be kept with the write."""
    return json.dumps([_plain(stored) for stored in results])


def _failed(stored: Stored, failures: Mapping[int, EmbedsvcError]) -> Stored:
    failure = None if stored.place is None else failures.get(stored.place)
    return stored if failure is None else replace(stored, error=failure, segment_count=0)


def _plain(stored: Stored) -> dict[str, Any]:
    return {
        "id": stored.id,
        "error": None if stored.error is None else _plain_error(stored.error),
        "warnings": [[warning.code, warning.message] for warning in stored.warnings],
        "unchanged": stored.unchanged,
        "segment_count": stored.segment_count,
        "place": stored.place,
    }


def _plain_error(error: BaseException) -> list[Any]:
    if not isinstance(error, EmbedsvcError):
        return ["Internal", "internal error", "", {}]
    return [type(error).__name__, error.message, error.field, error.facts]


def _stored(plain: Mapping[str, Any]) -> Stored:
    error = None
    if plain["error"] is not None:
        name, message, where, facts = plain["error"]
        kind: type[EmbedsvcError] = getattr(errors, name)
        error = kind(message, field=where)
        error.facts = facts
    return Stored(
        id=plain["id"],
        error=error,
        warnings=tuple(AudioWarning(WarningCode(c), m) for c, m in plain["warnings"]),
        unchanged=plain["unchanged"],
        segment_count=plain["segment_count"],
        place=plain["place"],
    )
