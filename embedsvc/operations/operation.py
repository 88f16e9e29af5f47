"""One operation as a value, and as the JSON that is kept of it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from embedsvc.errors import EmbedsvcError, Internal, kind_of

FORMAT = 1


@dataclass(frozen=True)
class Progress:
    """How far an operation is: `done` of `total` steps, in words `what`; 0 of 0 before it began."""

    done: int = 0
    total: int = 0
    what: str = ""


Tell = Callable[[Progress], None]
"""Called by work as it goes on, from any thread; raises Cancelled when it is to stop."""


@dataclass(frozen=True)
class Operation:
    """Work on `target`, such as `collections/talks`, as it is now; times in seconds since 1970.

    `request` is what was asked of this `kind`, `result` what came of it. It is done when it has a
    result or an error. `starts` counts how often it was begun: more than once after a restart.
    """

    id: str
    kind: str
    target: str
    request: Mapping[str, Any]
    created_at: float
    updated_at: float
    progress: Progress = field(default_factory=Progress)
    starts: int = 0
    result: Mapping[str, Any] | None = None
    error: EmbedsvcError | None = None

    @property
    def done(self) -> bool:
        """Whether it is over, well or not."""
        return self.result is not None or self.error is not None


def to_bytes(operation: Operation) -> bytes:
    """What is kept of an operation."""
    facts = {
        "format": FORMAT,
        "id": operation.id,
        "kind": operation.kind,
        "target": operation.target,
        "request": dict(operation.request),
        "created_at": operation.created_at,
        "updated_at": operation.updated_at,
        "progress": asdict(operation.progress),
        "starts": operation.starts,
        "result": None if operation.result is None else dict(operation.result),
        "error": None if operation.error is None else _facts(operation.error),
    }
    return json.dumps(facts, ensure_ascii=False).encode()


def from_bytes(data: bytes) -> Operation | None:
    """The operation of `to_bytes`; None for bytes that are not one of this format."""
    try:
        facts = json.loads(data)
        if facts.pop("format") != FORMAT:
            return None
        error = facts.pop("error")
        progress = Progress(**facts.pop("progress"))
        return Operation(**facts, progress=progress, error=None if error is None else _error(error))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _facts(error: EmbedsvcError) -> dict[str, Any]:
    return {
        "reason": error.reason,
        "message": error.message,
        "field": error.field,
        "facts": error.facts,
    }


def _error(facts: Mapping[str, Any]) -> EmbedsvcError:
    kind = kind_of(facts["reason"]) or Internal
    error = kind(facts["message"], field=facts["field"])
    error.facts = dict(facts["facts"])
    return error
