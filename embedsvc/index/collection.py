"""A collection: durable rows, searched through a view of them in memory."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import apsw
import numpy as np

from embedsvc.errors import DiskFull, EmbedsvcError, RecordingNotFound
from embedsvc.filters import Filter
from embedsvc.index import codes, reads, requests, texts, whole
from embedsvc.index.base import base_file
from embedsvc.index.changes import Change, Changes
from embedsvc.index.explain import explained, guesses
from embedsvc.index.identity import Identity
from embedsvc.index.outcomes import Added, Deleted, Page, RequestKey, WriteMode
from embedsvc.index.prepared import MAX_ID_BYTES, Prepared, check_text, prepare, unit
from embedsvc.index.reads import Match
from embedsvc.index.search import Search
from embedsvc.index.store import Store, Surroundings
from embedsvc.index.stored_codes import StoredCodes
from embedsvc.index.stored_texts import StoredTexts
from embedsvc.index.upkeep import Upkeep
from embedsvc.index.where import where
from embedsvc.index.whole import Whole
from embedsvc.index.writer import Write
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
    SpaceInfo,
    StoredRecording,
    Texts,
    TransformRecipe,
)

T = TypeVar("T")

MAX_PAGE = 10_000

NO_KEY = RequestKey()


class Collection:
    """Recordings with vectors of one space or several. All methods block and may be called by many.

    Opened by its `Catalog`. A write is on disk and in the answers of searches when it returns.
    `space` of a method is the name of a space, empty for the first; an unknown one is
    InvalidArgument.
    """

    def __init__(self, directory: Path, identity: Identity, around: Surroundings) -> None:
        self._identity = identity
        files = [base_file(directory, identity.uid, part.number) for part in identity.parts]
        self._store = Store(directory, identity, around, files)
        self._upkeeps = tuple(
            Upkeep(self._store, part, file)
            for part, file in zip(identity.parts, files, strict=True)
        )
        self.codes = StoredCodes(self._store)
        self.texts = StoredTexts(self._store)
        self._request_due()

    def info(self) -> CollectionInfo:
        """Name, spaces and counts; available even when the rows are damaged."""
        view = self._store.view
        return CollectionInfo(
            name=self._identity.name,
            spaces=tuple(
                SpaceInfo(
                    name=each.part.name,
                    space=self._identity.spaces[each.part.name],
                    fitted=each.fitted.info() if each.fitted else None,
                    index=each.base.info,
                )
                for each in view.spaces
            ),
            segmentation=self._identity.segmentation,
            recordings=view.recordings,
            segments=view.segments,
            sequence=view.sequence,
            created_at=self._identity.created_at,
            texts=self._store.texts,
        )

    @property
    def name(self) -> str:
        """What it is called."""
        return self._identity.name

    @property
    def spaces(self) -> Mapping[str, Space]:
        """The spaces of its vectors by name, in their order."""
        return self._identity.spaces

    def space(self, name: str = "") -> Space:
        """The space of that name."""
        return self.spaces[self.space_name(name)]

    def space_name(self, name: str = "") -> str:
        """The same name, or that of the first."""
        return self._identity.part(name).name

    @property
    def segmentation(self) -> Segmentation:
        """How its recordings are cut."""
        return self._identity.segmentation

    @property
    def sequence(self) -> int:
        """Number of the last write."""
        return self._store.view.sequence

    def recall(self, key: RequestKey) -> Added | None:
        """The outcome of an earlier write with this key; raises RequestIdReused for another."""
        requests.check(key)
        with self._store.reading() as (_, connection):
            known = requests.recall(connection, key, self._store.tuning.clock())
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
        self._store.check_serving()
        requests.check(key)
        ready, faulty = self._prepare(recordings)

        def write(connection: apsw.Connection, sequence: int) -> tuple[Added, Change | None]:
            now = self._store.tuning.clock()
            known = requests.recall(connection, key, now)
            if isinstance(known, Added):
                return known, None
            changes = Changes(connection, sequence, now)
            failures = dict(sorted((faulty | changes.put_all(ready, mode)).items()))
            changed = len(failures) < len(recordings)
            outcome = Added(sequence if changed else sequence - 1, failures, note=key.note)
            requests.store(connection, key, outcome, now)
            return outcome, changes.result(self._store.width) if changed else None

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
            with self._store.reading() as (view, connection):
                return Deleted(reads.count(connection, condition), view.sequence)
        return self._delete(
            lambda connection: reads.rids(connection, condition),
            requests.deleting(request_id, condition),
        )

    def get(self, ids: Sequence[str]) -> tuple[list[StoredRecording], list[str]]:
        """The recordings of those ids, each once in their order, and the ids without one."""
        found, missing = [], []
        with self._store.reading() as (_, connection):
            for name in dict.fromkeys(ids):
                recording = reads.recording(connection, name)
                if recording is None:
                    missing.append(name)
                else:
                    found.append(recording)
        return found, missing

    def vectors(self, name: str, space: str = "") -> list[Segment]:
        """Segments of a recording with their vectors as stored: unit length, fp16 precision."""
        part = self._identity.part(space)
        with self._store.reading() as (_, connection):
            rows = reads.vectors_of(connection, name, part)
        if not rows:
            raise RecordingNotFound(
                f"`id` must exist, but {name!r} does not", field="id", name=name
            )
        return [Segment(span, vector) for span, vector in rows]

    def read(
        self, name: str, spaces: Sequence[str] = ("",)
    ) -> tuple[StoredRecording, Floats] | None:
        """A recording and its vectors (S, D) in `spaces`, side by side; None when it is gone.

        Both are of one state, whatever is written meanwhile.
        """
        parts = [self._identity.part(space) for space in spaces]
        with self._store.reading() as (_, connection):
            recording = reads.recording(connection, name)
            if recording is None:
                return None
            columns = [reads.vectors_of(connection, name, part) for part in parts]
        arrays = [np.stack([vector for _, vector in rows]) for rows in columns]
        return recording, np.concatenate(arrays, axis=1)

    def page(self, condition: Filter | None = None, *, after: int = 0, limit: int = 100) -> Page:
        """Recordings that meet `condition`, oldest first, from behind the cursor `after`.

        A cursor stays good whatever is written meanwhile; a replaced recording moves to the end.
        """
        limit = max(1, min(limit, MAX_PAGE))
        with self._store.reading() as (_, connection):
            recordings, cursor = reads.page(connection, condition, after, limit)
        return Page(tuple(recordings), cursor)

    def count(self, condition: Filter | None = None) -> int:
        """Recordings that meet `condition`."""
        with self._store.reading() as (_, connection):
            return reads.count(connection, condition)

    def unchanged(self, name: str, digest: str) -> bool:
        """Whether that recording is stored as made from audio of that digest."""
        with self._store.reading() as (_, connection):
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
        space: str = "",
    ) -> Found:
        """The `k` segments nearest to `query` (D,) by cosine; older ones first among equals.

        `group` lets a recording count once, by its best segment; `explain` tells what hits are
        like before the transform. Raises TensorShape for a query that is not a direction of the
        space.
        """
        part = self._identity.part(space)
        upkeep = self._upkeeps[part.number]
        given = unit(query, part.dim, "query")
        with self._store.reading() as (view, connection):
            there = view.spaces[part.number]
            search = Search(part, there.direction(given), k, condition, exclude_id, group, limit)
            upkeep.recent.append(search.query.astype(np.float32))
            found, sids = search.run(view, connection, self._store.tuning.gather_limit)
            if explain:
                pairs = list(zip(sids, found.hits, strict=True))
                hits = explained(connection, there, given, pairs)
                languages = guesses(there.transform, given.astype(np.float32))
                found = replace(found, hits=hits, query_languages=languages)
        if not found.exact:
            upkeep.request_accelerator()
        return found

    def sample(self, count: int, language: str = "", space: str = "") -> Sample:
        """At most `count` of the stored vectors, evenly spread over all, to fit a transform on.

        `language` names the metadata field whose text says the language of a recording.
        """
        part = self._identity.part(space)
        with self._store.reading() as (_, connection):
            return reads.sample(connection, count, language, part)

    def adopt(
        self,
        transform: Transform | None,
        recipe: TransformRecipe,
        segments: int,
        *,
        space: str = "",
    ) -> int:
        """Search a space through `transform` from now on, or through none; see `Upkeep.adopt`."""
        return self._upkeep(space).adopt(transform, recipe, segments)

    def whole(
        self, transform: Transform | None, condition: Filter | None = None, space: str = ""
    ) -> Whole:
        """All that meets `condition`, with vectors through `transform`; much memory."""
        part = self._identity.part(space)
        with self._store.reading() as (_, connection):
            return whole.read(connection, part, transform, condition)

    def matches(self, sids: Sequence[int]) -> dict[int, Match]:
        """What those of `sids` are that still exist."""
        with self._store.reading() as (_, connection):
            return reads.matches(connection, sids)

    def transform(self, space: str = "") -> Transform | None:
        """What the vectors of a space go through before they are compared."""
        return self._upkeep(space).view.transform

    def compact(self) -> None:
        """Rebuild every base from the rows, which also drops deleted vectors; see `Upkeep`."""
        for upkeep in self._upkeeps:
            upkeep.compact()

    def accelerate(self) -> None:
        """Give every base an accelerator, or a newer one, if it is due."""
        for upkeep in self._upkeeps:
            upkeep.accelerate()

    def keep_codes(self, recipe: bytes) -> None:
        """Make a new collection one that keeps codes of frames, made as `recipe` says."""

        def write(connection: apsw.Connection, _: int) -> tuple[None, None]:
            codes.keep_recipe(connection, recipe)
            return None, None

        self._store.writer.submit(write)
        self._store.recipe = recipe

    def keep_texts(self, kept: Texts) -> None:
        """Make a new collection one that keeps texts."""

        def write(connection: apsw.Connection, _: int) -> tuple[None, None]:
            texts.keep_recipe(connection, kept)
            return None, None

        self._store.writer.submit(write)
        self._store.texts = kept

    def close(self, ending: EmbedsvcError) -> None:
        """Refuse all further calls with `ending`."""
        self._store.refuse(ending)
        for upkeep in self._upkeeps:
            upkeep.end()
        self._store.close(ending)

    def _upkeep(self, space: str) -> Upkeep:
        return self._upkeeps[self._identity.part(space).number]

    def _request_due(self) -> None:
        for upkeep in self._upkeeps:
            upkeep.request_due()

    def _prepare(
        self, recordings: Sequence[Recording]
    ) -> tuple[dict[int, Prepared], dict[int, EmbedsvcError]]:
        ready: dict[int, Prepared] = {}
        faulty: dict[int, EmbedsvcError] = {}
        dims = {part.name: part.dim for part in self._identity.parts}
        for position, recording in enumerate(recordings):
            try:
                ready[position] = prepare(recording, dims)
            except EmbedsvcError as error:
                faulty[position] = error
        return ready, faulty

    def _delete(self, find: Callable[[apsw.Connection], list[int]], key: RequestKey) -> Deleted:
        requests.check(key)

        def write(connection: apsw.Connection, sequence: int) -> tuple[Deleted, Change | None]:
            now = self._store.tuning.clock()
            known = requests.recall(connection, key, now)
            if isinstance(known, Deleted):
                return known, None
            changes = Changes(connection, sequence, now)
            removed = changes.remove(find(connection))
            outcome = Deleted(removed, sequence if removed else sequence - 1)
            requests.store(connection, key, outcome, now)
            return outcome, changes.result(self._store.width) if removed else None

        try:
            outcome = self._write(write, 1)
        except DiskFull:
            self._store.around.ballast.release()
            outcome = self._write(write, 1)
        self._store.look_again()
        return outcome

    def _write(self, write: Write[T], size: int) -> T:
        outcome = self._store.writer.submit(write, size)
        self._request_due()
        return outcome
