"""Outcomes of writes kept under the caller's request id, so that a retry writes nothing."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from embedsvc import errors
from embedsvc.errors import EmbedsvcError, RequestIdReused
from embedsvc.index.outcomes import Added, Deleted, RequestKey
from embedsvc.index.prepared import check_text

KEPT_SECONDS = 24 * 3600
"""How long an outcome is kept; retries come within minutes."""

MAX_ID_BYTES = 128


def check(key: RequestKey) -> None:
    """Raise InvalidArgument for a request id that is too long."""
    check_text(key.id, "request_id", MAX_ID_BYTES)


def deleting(request_id: str, what: object) -> RequestKey:
    """The key of a request to delete `what`, given as ids or a filter."""
    content = f"delete {what!r}".encode("utf-8", "backslashreplace")
    return RequestKey(request_id, hashlib.sha256(content).hexdigest())


def recall(connection: apsw.Connection, key: RequestKey, now: float) -> Added | Deleted | None:
    """The outcome of this very request, None if it is new, or RequestIdReused."""
    if not key.id:
        return None
    row: Any = connection.execute(
        "SELECT digest, outcome FROM request WHERE id = ? AND stored_at >= ?",
        (key.id, now - KEPT_SECONDS),
    ).fetchone()
    if row is None:
        return None
    digest, outcome = row
    if digest != key.digest:
        raise RequestIdReused(
            "`request_id` must be new, but an earlier write with other content has used it",
            field="request_id",
        )
    return _parse(json.loads(outcome))


def store(
    connection: apsw.Connection, key: RequestKey, outcome: Added | Deleted, now: float
) -> None:
    """Keep `outcome`, in the transaction of the write itself; drop those that are too old."""
    if key.id:
        connection.execute("DELETE FROM request WHERE stored_at < ?", (now - KEPT_SECONDS,))
        connection.execute(
            "INSERT INTO request (id, digest, outcome, stored_at) VALUES (?, ?, ?, ?)",
            (key.id, key.digest, json.dumps(_plain(outcome)), now),
        )


def _plain(outcome: Added | Deleted) -> dict[str, Any]:
    if isinstance(outcome, Deleted):
        return {"count": outcome.count, "sequence": outcome.sequence}
    failures = [
        [position, type(error).__name__, error.message, error.field, error.facts]
        for position, error in outcome.failures.items()
    ]
    return {"sequence": outcome.sequence, "failures": failures, "note": outcome.note}


def _parse(plain: Mapping[str, Any]) -> Added | Deleted:
    if "count" in plain:
        return Deleted(plain["count"], plain["sequence"], replayed=True)
    failures = {item[0]: _error(item[1:]) for item in plain["failures"]}
    return Added(plain["sequence"], failures, replayed=True, note=plain["note"])


def _error(plain: Sequence[Any]) -> EmbedsvcError:
    name, message, field, facts = plain
    kind: type[EmbedsvcError] = getattr(errors, name)
    error = kind(message, field=field)
    error.facts = facts
    return error
