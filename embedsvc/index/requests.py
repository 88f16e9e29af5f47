"""Outcomes of writes kept under the caller's request id, so that a retry writes nothing."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import apsw
import numpy as np

from embedsvc import errors
from embedsvc.errors import EmbedsvcError, RequestIdReused
from embedsvc.index.outcomes import Added, Deleted, RequestKey
from embedsvc.types import Recording

KEPT_SECONDS = 24 * 3600
"""How long an outcome is kept; retries come within minutes."""


@dataclass(frozen=True)
class Request:
    """A request id and the SHA-256 of what was asked under it; `id` may be empty."""

    id: str
    digest: bytes


def adding(request_id: str, mode: str, recordings: Iterable[Recording]) -> Request:
    """The request to add `recordings`, of which some may be faulty."""
    digest = hashlib.sha256(f"add {mode}".encode())
    for recording in recordings if request_id else ():
        metadata = sorted(recording.metadata.items(), key=lambda item: str(item[0]))
        facts = (recording.id, metadata, recording.length, recording.digest)
        digest.update(_line(facts))
        for segment in recording.segments:
            vector = np.asarray(segment.vector)
            digest.update(_line((segment.span, vector.shape, str(vector.dtype))))
            digest.update(vector.tobytes())
    return Request(request_id, digest.digest())


def keyed(key: RequestKey) -> Request:
    """The request of a caller that knows what it asked for."""
    return Request(key.id, hashlib.sha256(f"key {key.digest}".encode()).digest())


def deleting(request_id: str, what: object) -> Request:
    """The request to delete `what`, given as ids or a filter."""
    return Request(request_id, hashlib.sha256(b"delete" + _line(what)).digest())


def recall(connection: apsw.Connection, request: Request, now: float) -> Added | Deleted | None:
    """As `known`, in a transaction that also forgets what is too old."""
    if request.id:
        connection.execute("DELETE FROM request WHERE stored_at < ?", (now - KEPT_SECONDS,))
    return known(connection, request, now)


def known(connection: apsw.Connection, request: Request, now: float) -> Added | Deleted | None:
    """The outcome of this very request, None if it is new, or RequestIdReused."""
    if not request.id:
        return None
    row = connection.execute(
        "SELECT digest, outcome FROM request WHERE id = ? AND stored_at >= ?",
        (request.id, now - KEPT_SECONDS),
    ).fetchone()
    if row is None:
        return None
    if row[0] != request.digest:
        raise RequestIdReused(
            "`request_id` must be new, but an earlier write with other content has used it",
            field="request_id",
        )
    return _parse(json.loads(row[1]))


def store(
    connection: apsw.Connection, request: Request, outcome: Added | Deleted, now: float
) -> None:
    """Keep `outcome`, in the transaction of the write itself."""
    if request.id:
        connection.execute(
            "INSERT INTO request (id, digest, outcome, stored_at) VALUES (?, ?, ?, ?)",
            (request.id, request.digest, json.dumps(_plain(outcome)), now),
        )


def _line(facts: object) -> bytes:
    return f"{facts!r}\n".encode("utf-8", "backslashreplace")


def _plain(outcome: Added | Deleted) -> Mapping[str, object]:
    if isinstance(outcome, Deleted):
        return {"count": outcome.count, "sequence": outcome.sequence}
    failures = [
        [position, type(error).__name__, error.message, error.field, error.facts]
        for position, error in outcome.failures.items()
    ]
    return {"sequence": outcome.sequence, "failures": failures, "note": outcome.note}


def _parse(plain: Mapping[str, object]) -> Added | Deleted:
    match plain:
        case {"count": int(count), "sequence": int(sequence)}:
            return Deleted(count, sequence, replayed=True)
        case {"sequence": int(sequence), "failures": list(failures), "note": str(note)}:
            known = {item[0]: _error(item) for item in failures}
            return Added(sequence, known, replayed=True, note=note)
        case _:
            raise errors.DataLoss(
                "`request_id` must have a readable outcome, but its row is damaged"
            )


def _error(item: Sequence[object]) -> EmbedsvcError:
    match item:
        case [_, str(name), str(message), str(field), dict(facts)]:
            kind: type[EmbedsvcError] = getattr(errors, name)
            return kind(message, field=field, **facts)
        case _:
            raise errors.DataLoss(
                "`request_id` must have a readable outcome, but its row is damaged"
            )
