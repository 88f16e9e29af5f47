"""What writes and listings are asked and answered with, and what may be tuned."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from embedsvc.errors import EmbedsvcError
from embedsvc.types import StoredRecording


class WriteMode(StrEnum):
    """What an id that is there already, or is not, means to a write."""

    UPSERT = "upsert"
    INSERT = "insert"
    UPDATE = "update"


@dataclass(frozen=True)
class RequestKey:
    """Makes a write safe to repeat: its id, and a digest of all that the caller asked for.

    For 24 hours, a write with the same id and digest is only answered. `note` is kept with the
    outcome and comes back in `Added.note`. An empty `id` keeps nothing.
    """

    id: str = ""
    digest: str = ""
    note: str = ""


@dataclass(frozen=True)
class Added:
    """The answer to a write; `failures` are by position in its batch.

    `replayed` says that an earlier write with this request id did it.
    """

    sequence: int
    failures: Mapping[int, EmbedsvcError] = field(default_factory=dict)
    replayed: bool = False
    note: str = ""


@dataclass(frozen=True)
class Deleted:
    """How many recordings a deletion removed, or would remove when dry."""

    count: int
    sequence: int
    replayed: bool = False


@dataclass(frozen=True)
class Page:
    """Recordings in the order they were stored; `cursor` begins the next page, None ends."""

    recordings: tuple[StoredRecording, ...]
    cursor: int | None


@dataclass(frozen=True)
class Tuning:
    """Sizes at which the store changes what it does; tests shrink them.

    The defaults come from measurements with 384 to 1024 dimensions on one core.
    """

    tail_limit: int = 16_384
    """Segments outside the base before it is rebuilt; scoring that many takes 5-10 ms."""

    dead_share: float = 0.2
    """Share of deleted segments, which every search scores for nothing."""

    dead_floor: int = 1_024
    """Fewer deleted segments than this never cause a rebuild."""

    gather_limit: int = 256
    """Allowed segments up to which copying them out beats FAISS skipping the others."""

    columns_from: int = 4_096
    """Segments in the base from which its metadata is held in memory; SQL is quick for fewer."""

    accelerate_from: int = 32_768
    """Segments in the base from which searches are not exact; scoring that many takes 2-4 ms."""

    recall_target: float = 0.95
    """Share of the true 10 nearest that an accelerator must find, with 95 % confidence."""

    ballast_bytes: int = 16 * 2**20
    """Disk space held back, given up so that deletion works on a full disk."""

    retry_seconds: float = 30.0
    """Wait after a failed rebuild of the base; doubles up to an hour."""

    vfs: str = ""
    """SQLite's file system layer; empty is its default."""

    clock: Callable[[], float] = time.time
    """Seconds since 1970."""
