"""A collection: durable rows, searched through a view of them in memory."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import apsw
import numpy as np

from embedsvc.errors import DiskFull, EmbedsvcError, RecordingNotFound, TensorShape
from embedsvc.files import disk_errors
from embedsvc.filters import Filter
from embedsvc.index import acceleration, codes, fitted, reads, requests, whole
from embedsvc.index.base import BaseFile
from embedsvc.index.changes import Change, Changes
from embedsvc.index.database import ROWS_SCHEMA, Readers, open_writer, storage_errors
from embedsvc.index.explain import explained, guesses
from embedsvc.index.fitted import digest
from embedsvc.index.identity import Identity, stamp
from embedsvc.index.outcomes import Added, Deleted, Page, RequestKey, WriteMode
from embedsvc.index.prepared import MAX_ID_BYTES, Prepared, check_text, prepare, unit
from embedsvc.index.reads import Match
from embedsvc.index.recovery import Recovered, Rows, recover
from embedsvc.index.search import Search
from embedsvc.index.stored_codes import StoredCodes
from embedsvc.index.upkeep import Surroundings, Upkeep
from embedsvc.index.view import Refit, View
from embedsvc.index.where import where
from embedsvc.index.whole import Whole
from embedsvc.index.writer import Write, Writer
from embedsvc.transforms import Sample, Transform
from embedsvc.types import (
    CollectionInfo,
    Floats,
    Found,
    Limit,
    Recording,
    Segment,
    Segmentation,
    Space,
    StoredRecording,
    TransformRecipe,
)

T = TypeVar("T")

MAX_PAGE = 10_000

NO_KEY = RequestKey()

TRIES = 3
"""Attempts to meet the rows and the view in one state before writes are held off for it."""


class Collection(Upkeep):
    """Recordings whose vectors are of one space. All methods block and may be called by many.

    Opened by its `Catalog`. A write is on disk and in the answers of searches when it returns.
    """

    def __init__(self, directory: Path, identity: Identity, around: Surroundings) -> None:
        self._identity = identity
        self._around = around
        self._tuning = around.tuning
        self._base_file = BaseFile(directory, identity.uid)
        self._compacting = threading.Lock()
        self._accelerating = threading.Lock()
        self._recent: deque[Floats] = deque(maxlen=acceleration.RECENT)
        self._ending: EmbedsvcError | None = None
        self.last_compaction_error: Exception | None = None
        self.last_acceleration_error: Exception | None = None
        self._base_file.remove_others()
        with storage_errors():
            connection = open_writer(directory / "rows.db", self._tuning.vfs, ROWS_SCHEMA)
            try:
                stamp(connection, identity.name)
                recipe = codes.recipe(connection)
                recovered = recover(connection, self._base_file, identity.space.dim, self._tuning)
            except BaseException:
                connection.close()
                raise
        self._damage = recovered.damage
        self._saved = recovered.saved
        self._readers = Readers(directory / "rows.db", self._tuning.vfs)
        self._writer = Writer(connection, recovered.view)
        self.codes = StoredCodes(recipe, identity.space.dim, self._tuning, self._reading)
        self._compact_if_due()

    def info(self) -> CollectionInfo:
        """Name, space and counts; available even when the rows are damaged."""
        view = self._writer.view
        return CollectionInfo(
            name=self._identity.name,
            space=self._identity.space,
            segmentation=self._identity.segmentation,
            recordings=view.recordings,
            segments=view.segments,
            sequence=view.sequence,
            created_at=self._identity.created_at,
            fitted=view.fitted.info() if view.fitted else None,
            index=view.base.info,
        )

    @property
    def name(self) -> str:
        """What it is called."""
        return self._identity.name

    @property
    def space(self) -> Space:
        """The space of its vectors."""
        return self._identity.space

    @property
    def segmentation(self) -> Segmentation:
        """How its recordings are cut."""
        return self._identity.segmentation

    @property
    def sequence(self) -> int:
        """Number of the last write."""
        return self._writer.view.sequence

    def recall(self, key: RequestKey) -> Added | None:
        """The outcome of an earlier write with this key; raises RequestIdReused for another."""
        requests.check(key)
        with self._reading() as (_, connection):
            known = requests.recall(connection, key, self._tuning.clock())
        return known if isinstance(known, Added) else None

    def add(
        self,
        recordings: Sequence[Recording],
        *,
        mode: WriteMode,
        key: RequestKey = NO_KEY,
    ) -> Added:
        """Store recordings; those at fault are in `failures` and do not harm the others.

        Raises RequestIdReused, DiskFull (then nothing is stored) or DataLoss.
        """
        self._check_serving()
        requests.check(key)
        ready, faulty = self._prepare(recordings)

        def write(connection: apsw.Connection, sequence: int) -> tuple[Added, Change | None]:
            now = self._tuning.clock()
            known = requests.recall(connection, key, now)
            if isinstance(known, Added):
                return known, None
            changes = Changes(connection, sequence, now)
            failures = dict(sorted((faulty | changes.put_all(ready, mode)).items()))
            changed = len(failures) < len(recordings)
            outcome = Added(sequence if changed else sequence - 1, failures, note=key.note)
            requests.store(connection, key, outcome, now)
            return outcome, changes.result(self._dim) if changed else None

        return self._write(write, len(recordings))

    def delete(self, ids: Sequence[str], request_id: str = "") -> Deleted:
        """Remove those of `ids` that are stored; works on a full disk and on damaged rows."""
        ids = tuple(ids)
        for number, name in enumerate(ids):
            check_text(name, f"ids[{number}]", MAX_ID_BYTES)
        return self._delete(
            lambda connection: reads.rids_of(connection, ids), requests.deleting(request_id, ids)
        )

    def delete_where(
        self, condition: Filter, *, dry_run: bool = False, request_id: str = ""
    ) -> Deleted:
        """Remove the recordings that meet `condition`, or only count them."""
        where(condition)
        if dry_run:
            with self._reading() as (view, connection):
                return Deleted(reads.count(connection, condition), view.sequence)
        return self._delete(
            lambda connection: reads.rids(connection, condition),
            requests.deleting(request_id, condition),
        )

    def get(self, ids: Sequence[str]) -> tuple[list[StoredRecording], list[str]]:
        """The recordings of those ids, each once in their order, and the ids without one."""
        found, missing = [], []
        with self._reading() as (_, connection):
            for name in dict.fromkeys(ids):
                recording = reads.recording(connection, name)
                if recording is None:
                    missing.append(name)
                else:
                    found.append(recording)
        return found, missing

    def vectors(self, name: str) -> list[Segment]:
        """Segments of a recording with their vectors as stored: unit length, fp16 precision."""
        with self._reading() as (_, connection):
            rows = reads.vectors_of(connection, name)
        if not rows:
            raise RecordingNotFound(
                f"`id` must exist, but {name!r} does not", field="id", name=name
            )
        return [Segment(span, vector) for span, vector in rows]

    def page(self, condition: Filter | None = None, *, after: int = 0, limit: int = 100) -> Page:
        """Recordings that meet `condition`, oldest first, from behind the cursor `after`.

        A cursor stays good whatever is written meanwhile; a replaced recording moves to the end.
        """
        limit = max(1, min(limit, MAX_PAGE))
        with self._reading() as (_, connection):
            recordings, cursor = reads.page(connection, condition, after, limit)
        return Page(tuple(recordings), cursor)

    def count(self, condition: Filter | None = None) -> int:
        """Recordings that meet `condition`."""
        with self._reading() as (_, connection):
            return reads.count(connection, condition)

    def unchanged(self, name: str, digest: str) -> bool:
        """Whether that recording is stored as made from audio of that digest."""
        with self._reading() as (_, connection):
            return bool(digest) and reads.digest(connection, name) == digest

    def search(
        self,
        query: Floats,
        k: int,
        condition: Filter | None = None,
        *,
        exclude_id: str | None = None,
        group: bool = False,
        limit: Limit | None = None,
        explain: bool = False,
    ) -> Found:
        """The `k` segments nearest to `query` (D,) by cosine; older ones first among equals.

        `group` lets a recording count once, by its best segment; `explain` tells what hits are
        like before the transform. Raises TensorShape for a query that is not a direction of this
        space.
        """
        given = unit(query, self._dim, "query")
        with self._reading() as (view, connection):
            search = Search(view.direction(given), k, condition, exclude_id, group, limit)
            self._recent.append(search.query.astype(np.float32))
            found, sids = search.run(view, connection, self._tuning.gather_limit)
            if explain:
                pairs = list(zip(sids, found.hits, strict=True))
                hits = explained(connection, view.transform, given, pairs)
                languages = guesses(view.transform, given.astype(np.float32))
                found = replace(found, hits=hits, query_languages=languages)
        if not found.exact:
            self._accelerate_if_due()
        return found

    def sample(self, count: int, language: str = "") -> Sample:
        """At most `count` of the stored vectors, evenly spread over all, to fit a transform on.

        `language` names the metadata field whose text says the language of a recording.
        """
        with self._reading() as (_, connection):
            return reads.sample(connection, count, language, self._dim)

    def adopt(self, transform: Transform | None, recipe: TransformRecipe, segments: int) -> int:
        """Search through `transform` from now on, or through none; the number of this write.

        `segments` says how many it was fitted on. Searches and writes go on meanwhile. Raises
        TensorShape for one of another space, and DiskFull or DataLoss: then nothing has changed.
        A damaged transform can be removed.
        """
        if transform is not None and transform.takes != self._dim:
            raise TensorShape(
                f"`transform` must take {self._dim} dimensions, but takes {transform.takes}",
                field="transform",
            )
        with self._compacting:
            if transform is None:
                self._check_open()
            else:
                self._check_serving()
            upto = self._writer.view.upto
            bare = self._base(transform, upto)
            with storage_errors(), self._readers.lend() as connection:
                base = bare.along(self._columns(connection, bare), None)

            def write(connection: apsw.Connection, sequence: int) -> tuple[int, Refit]:
                now = self._tuning.clock()
                made = fitted.write(connection, transform, recipe, segments, now)
                tail = Rows(connection, self._dim, transform).tail(upto)
                return sequence, Refit(base, tail, made)

            # From here on the base on disk is of the transform before, and not to be trusted.
            self._saved = False
            sequence = self._write(write, 1)
            self._recent.clear()  # they are of the space before
            with suppress(DiskFull), disk_errors():
                self._base_file.save(base, sequence, digest(transform))
                self._saved = True
        if self._damage is not None:
            self._writer.publish(lambda _: self._recovered())
        return sequence

    def whole(self, transform: Transform | None, condition: Filter | None = None) -> Whole:
        """All that meets `condition`, with vectors through `transform`; much memory."""
        with self._reading() as (_, connection):
            return whole.read(connection, self._dim, transform, condition)

    def matches(self, sids: Sequence[int]) -> dict[int, Match]:
        """What those of `sids` are that still exist."""
        with self._reading() as (_, connection):
            return reads.matches(connection, sids)

    @property
    def transform(self) -> Transform | None:
        """What its vectors go through before they are compared."""
        return self._writer.view.transform

    def keep_codes(self, recipe: bytes) -> None:
        """Make a new collection one that keeps codes of frames, made as `recipe` says."""

        def write(connection: apsw.Connection, _: int) -> tuple[None, None]:
            codes.keep_recipe(connection, recipe)
            return None, None

        self._writer.submit(write)
        self.codes = StoredCodes(recipe, self.space.dim, self._tuning, self._reading)

    def close(self, ending: EmbedsvcError) -> None:
        """Refuse all further calls with `ending`."""
        self._ending = ending
        self._forget_work()
        with self._compacting:
            self._readers.close()
            self._writer.close(ending)

    @property
    def _dim(self) -> int:
        return self._identity.space.dim

    def _prepare(
        self, recordings: Sequence[Recording]
    ) -> tuple[dict[int, Prepared], dict[int, EmbedsvcError]]:
        ready: dict[int, Prepared] = {}
        faulty: dict[int, EmbedsvcError] = {}
        for position, recording in enumerate(recordings):
            try:
                ready[position] = prepare(recording, self._dim)
            except EmbedsvcError as error:
                faulty[position] = error
        return ready, faulty

    def _delete(self, find: Callable[[apsw.Connection], list[int]], key: RequestKey) -> Deleted:
        requests.check(key)

        def write(connection: apsw.Connection, sequence: int) -> tuple[Deleted, Change | None]:
            now = self._tuning.clock()
            known = requests.recall(connection, key, now)
            if isinstance(known, Deleted):
                return known, None
            changes = Changes(connection, sequence, now)
            removed = changes.remove(find(connection))
            outcome = Deleted(removed, sequence if removed else sequence - 1)
            requests.store(connection, key, outcome, now)
            return outcome, changes.result(self._dim) if removed else None

        try:
            outcome = self._write(write, 1)
        except DiskFull:
            self._around.ballast.release()
            outcome = self._write(write, 1)
        if self._damage is not None:
            self._writer.publish(lambda _: self._recovered())
        return outcome

    def _write(self, write: Write[T], size: int) -> T:
        outcome = self._writer.submit(write, size)
        self._compact_if_due()
        return outcome

    def _recovered(self) -> View:
        with storage_errors(), self._readers.lend() as connection:
            recovered: Recovered = recover(connection, self._base_file, self._dim, self._tuning)
        self._damage, self._saved = recovered.damage, recovered.saved
        return recovered.view

    @contextmanager
    def _reading(self) -> Iterator[tuple[View, apsw.Connection]]:
        """A view and a connection that show the same state until the end of the block."""
        self._check_serving()
        with storage_errors(), self._readers.lend() as connection:
            yield self._meet(connection), connection

    def _meet(self, connection: apsw.Connection) -> View:
        """Begin a transaction in the state of the view.

        In two states, a recording replaced between them would be found in neither: its old
        segments are gone from the rows, its new ones not yet in the view.
        """
        for _ in range(TRIES):
            view = self._writer.view
            connection.execute("BEGIN")
            if reads.sequence(connection) == view.sequence:
                return view
            connection.execute("ROLLBACK")

        def begin() -> View:
            connection.execute("BEGIN")
            reads.sequence(connection)
            return self._writer.view

        return self._writer.at_rest(begin)
