"""Collections of recordings: add speech, find it again."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

import numpy as np

from embedsvc.batching import Ticket
from embedsvc.encoder import Plan
from embedsvc.errors import CollectionNotFound, EmbedsvcError, InvalidArgument
from embedsvc.filters import Filter
from embedsvc.index import Catalog, Collection, Deleted, Page, RequestKey
from embedsvc.pipeline import receipts, scribing, segments, text_search
from embedsvc.pipeline.clock import Clock
from embedsvc.pipeline.embedder import Embedder, Wish
from embedsvc.pipeline.heads import Heads
from embedsvc.pipeline.reading import Upload, Utterance
from embedsvc.pipeline.ready import ReadyVectors
from embedsvc.pipeline.receipts import Stored, Written
from embedsvc.pipeline.scribing import Scribe
from embedsvc.pipeline.second_stage import (
    MomentChoice,
    Query,
    Search,
    SecondStage,
    info_of,
    mismatch,
    same_space,
)
from embedsvc.pipeline.submitting import Submission, WriteOptions, ready_recording, sorted_out
from embedsvc.pipeline.tally import Tally
from embedsvc.pipeline.text_search import TextAnswer, TextSearch
from embedsvc.timing import FRAME
from embedsvc.types import (
    AudioWarning,
    CollectionInfo,
    Floats,
    Found,
    Line,
    OutputSpec,
    Pooling,
    Recording,
    Segment,
    Segmentation,
    Source,
    Space,
    StoredRecording,
    Timing,
    Windowing,
)

NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Answer:
    """What a search found, and what was noticed about its audio."""

    found: Found
    warnings: tuple[AudioWarning, ...]
    samples: int
    frames: int
    timing: Timing


class Library:
    """Every collection of one data directory, with the encoder that fills them."""

    def __init__(self, embedder: Embedder, catalog: Catalog, heads: Heads | None = None) -> None:
        self._embedder = embedder
        self._heads = heads or Heads(())
        self._second = SecondStage(embedder)
        self.catalog = catalog

    async def create(
        self,
        name: str,
        specs: Mapping[str, OutputSpec],
        windowing: Windowing,
        segmentation: Segmentation,
        foreign: Space | None = None,
        moments: MomentChoice | None = None,
        texts: Sequence[str] | None = None,
    ) -> CollectionInfo:
        """A new collection in the spaces of `specs`, by name, or in one of vectors made elsewhere.

        A sole space needs no name. With `moments` it keeps codes of frames; with `texts`, what
        these heads write and callers know.
        """
        segments.check(segmentation)
        codes = None
        if moments is not None:
            codes = (await self._second.recipe(moments, windowing, foreign)).to_bytes()
        spaces = self._spaces(specs, windowing) if foreign is None else {"": foreign}
        kept = None
        if texts is not None:
            kept = await asyncio.to_thread(scribing.chosen, self._heads, texts)
        collection = await asyncio.to_thread(
            self.catalog.create, name, spaces, segmentation, codes, kept
        )
        return await asyncio.to_thread(info_of, collection)

    async def info(self, name: str) -> CollectionInfo:
        """A collection as it is now."""
        collection = await self._collection(name)
        return await asyncio.to_thread(info_of, collection)

    async def collections(self, after: str, limit: int) -> list[CollectionInfo]:
        """Collections by name, from the first after `after`."""

        def read() -> list[CollectionInfo]:
            infos = []
            for name in self.catalog.names(after):
                with suppress(CollectionNotFound):  # deleted since
                    infos.append(info_of(self.catalog.get(name)))
                if len(infos) == limit:
                    break
            return infos

        return await asyncio.to_thread(read)

    async def delete_collection(self, name: str, *, allow_missing: bool) -> None:
        """A collection and all it holds."""
        try:
            await asyncio.to_thread(self.catalog.delete, name)
        except CollectionNotFound:
            if not allow_missing:
                raise

    async def add(
        self, name: str, submissions: Sequence[Submission], options: WriteOptions
    ) -> Written:
        """Embed what is audio, then store everything in one durable write.

        Each submission has its own result; a submission at fault keeps no other from being
        stored. A request id that was answered before gets the same answer, and nothing is done.
        """
        clock = Clock()
        collection = await self._collection(name)
        key = RequestKey(options.request_id, options.request_digest)
        earlier = await asyncio.to_thread(collection.recall, key)
        if earlier is not None:
            return receipts.written(earlier, clock.stop())
        outcomes = await asyncio.gather(
            *(self._prepare(collection, each, options, clock) for each in submissions),
            return_exceptions=True,
        )
        results, recordings = sorted_out(submissions, outcomes)
        settled = receipts.settled(results)
        key = replace(key, note=receipts.note(results)) if settled else RequestKey()
        added = await asyncio.to_thread(collection.add, recordings, mode=options.mode, key=key)
        return receipts.written(added, clock.stop(), results)

    async def get(self, name: str, ids: Sequence[str]) -> tuple[list[StoredRecording], list[str]]:
        """The recordings that are there, and the ids that are not."""
        collection = await self._collection(name)
        return await asyncio.to_thread(collection.get, ids)

    async def read(
        self, name: str, recording: str, space: str = ""
    ) -> tuple[StoredRecording, Floats] | None:
        """A recording and its vectors (S, D) in a space, of one state; None when it is gone."""
        collection = await self._collection(name)
        return await asyncio.to_thread(collection.read, recording, (space,))

    async def list(self, name: str, condition: Filter | None, after: int, limit: int) -> Page:
        """Recordings that a filter allows, in the order they were stored."""
        collection = await self._collection(name)
        return await asyncio.to_thread(collection.page, condition, after=after, limit=limit)

    async def count(self, name: str, condition: Filter | None) -> int:
        """How many recordings a filter allows."""
        collection = await self._collection(name)
        return await asyncio.to_thread(collection.count, condition)

    async def delete(
        self, name: str, ids: Sequence[str], *, dry_run: bool, request_id: str
    ) -> Deleted:
        """Recordings by id; those that are not there are not counted."""
        collection = await self._collection(name)
        if dry_run:
            found, _ = await asyncio.to_thread(collection.get, ids)
            return Deleted(len({recording.id for recording in found}), collection.sequence)
        return await asyncio.to_thread(collection.delete, ids, request_id)

    async def delete_where(
        self, name: str, condition: Filter, *, dry_run: bool, request_id: str
    ) -> Deleted:
        """Recordings that a filter allows."""
        collection = await self._collection(name)
        return await asyncio.to_thread(
            collection.delete_where, condition, dry_run=dry_run, request_id=request_id
        )

    async def search(self, name: str, search: Search) -> Answer:
        """The nearest segments to an audio, a vector or a stored recording."""
        clock = Clock()
        collection = await self._collection(name)
        query = await self._query(collection, search, clock)
        if search.moments is not None:
            found = await self._second.search(collection, search, query, clock)
        else:
            found = await asyncio.to_thread(
                collection.search,
                query.vector,
                search.top_k,
                search.condition,
                exclude_id=search.recording_id,
                group=search.one_per_recording,
                limit=search.limit,
                explain=search.explain,
                space=search.space,
            )
        if search.min_score is not None:
            hits = tuple(hit for hit in found.hits if hit.score >= search.min_score)
            found = replace(found, hits=hits)
        return Answer(found, query.warnings, query.samples, query.frames, clock.stop())

    async def search_text(self, name: str, search: TextSearch) -> TextAnswer:
        """Where a typed text is said, ranked by a sound beside it if there is one."""
        clock = Clock()
        collection = await self._collection(name)
        query = await text_search.asked(collection, search)
        sound, vector = Query(NOTHING), None
        if search.audio is not None:
            like = Search(audio=search.audio, space=search.space, terms=search.terms)
            sound = await self._query(collection, like, clock)
            vector = sound.vector
        rankings, hits = await asyncio.to_thread(
            text_search.found, collection, search, query, vector
        )
        return TextAnswer(
            hits=tuple(hits),
            sequence=rankings.sequence,
            phones=query.phones,
            warnings=sound.warnings,
            samples=sound.samples,
            frames=sound.frames,
            timing=clock.stop(),
        )

    async def texts(self, name: str, id: str) -> Sequence[Line]:  # the field's name
        """The lines of a stored recording."""
        collection = await self._collection(name)
        return await asyncio.to_thread(collection.texts.of, id)

    async def _collection(self, name: str) -> Collection:
        return await asyncio.to_thread(self.catalog.get, name)

    async def _query(self, collection: Collection, search: Search, clock: Clock) -> Query:
        space = collection.space(search.space)
        if search.moments is not None:
            wish = self._wish(space) if search.audio is not None else None
            return await self._second.query(collection, search, wish, clock)
        if search.vector is not None:
            same_space(space, search.fingerprint, "vector.space_fingerprint")
            return Query(search.vector)
        if search.recording_id is not None:
            stored = await asyncio.to_thread(collection.vectors, search.recording_id, search.space)
            vectors = np.stack([segment.vector for segment in stored])
            return Query(vectors.mean(axis=0))
        assert search.audio is not None
        wish = self._wish(space)
        embedding = await self._embedder.embed(search.audio, wish, search.terms)
        clock.add(embedding.timing)
        (output,) = embedding.outputs
        return Query(output.array, embedding.warnings, len(embedding.span), embedding.frames)

    def _spaces(self, specs: Mapping[str, OutputSpec], windowing: Windowing) -> dict[str, Space]:
        """What these choices mean for the encoder of this server."""
        field = "vectors" if "" in specs else "spaces[{}]"
        plans = self._embedder.wish(list(specs.values()), windowing, field).plans
        for place, plan in enumerate(plans):
            if plan.pooling is Pooling.NONE:
                at = f"{field.format(place)}.pooling"
                raise InvalidArgument(
                    f"`{at}` must make one vector of a segment, but is NONE", field=at
                )
        return {name: plan.space for name, plan in zip(specs, plans, strict=True)}

    def _wish(self, *spaces: Space) -> Wish:
        """How this server's encoder makes vectors of `spaces`; SpaceMismatch if it does not."""
        plans = tuple(map(self._plan, spaces))
        return Wish(("",) * len(plans), plans, spaces[0].windowing)

    def _plan(self, space: Space) -> Plan:
        name, _, _ = space.projection.partition(":")
        spec = OutputSpec("", space.layer, space.pooling, name, space.normalized)
        try:
            (plan,) = self._embedder.wish([spec], space.windowing).plans
        except InvalidArgument as error:
            raise mismatch(space.fingerprint, "none", "audio") from error
        same_space(space, plan.space.fingerprint, "audio")
        return plan

    async def _prepare(
        self, collection: Collection, submission: Submission, options: WriteOptions, clock: Clock
    ) -> tuple[Stored, Recording | None]:
        """A submission as a recording to store; None when it is stored already."""
        content = submission.content
        if isinstance(content, EmbedsvcError):
            raise content
        scribing.check_transcript(collection, submission.transcript)
        if isinstance(content, ReadyVectors):
            recording = await scribing.in_thread(ready_recording, collection, submission, content)
            return Stored(submission.id, segment_count=len(recording.segments)), recording
        wish = self._wish(*collection.spaces.values())
        recipe = self._second.recipe_of(collection)
        scribe = Scribe(self._heads, collection.texts.recipe)
        source = None if submission.file else content
        async with (
            self._embedder.admitted(options.terms, clock, source, scribe.bodies) as ticket,
            self._opened(submission, content, wish, clock, ticket) as speech,
        ):
            if options.skip_unchanged and await self._unchanged(collection, submission, speech):
                return Stored(submission.id, warnings=speech.warnings, unchanged=True), None
            tally = Tally(wish.layers, cell=collection.segmentation.hop // FRAME, recipe=recipe)
            await self._embedder.run_all(speech, scribe.beside(tally), clock, ticket)
            return await scribing.in_thread(
                self._stored, collection, submission, speech, tally, wish, scribe
            )

    def _stored(
        self,
        collection: Collection,
        submission: Submission,
        speech: Utterance | Upload,
        tally: Tally,
        wish: Wish,
        scribe: Scribe,
    ) -> tuple[Stored, Recording]:
        segmentation = collection.segmentation
        recording = self._recording(submission, tally, speech, wish.plans, segmentation)
        spoken = scribing.stored(collection.texts.recipe, submission.transcript, tally.samples)
        recording = replace(recording, lines=(*spoken, *scribe.lines(tally.samples)))
        stored = Stored(
            id=submission.id,
            warnings=speech.warnings,
            segment_count=len(recording.segments),
            samples=tally.samples,
            frames=tally.frame_count,
        )
        return stored, recording

    @asynccontextmanager
    async def _opened(
        self, submission: Submission, source: Source, wish: Wish, clock: Clock, ticket: Ticket
    ) -> AsyncIterator[Utterance | Upload]:
        if submission.file is None:
            yield await self._embedder.read(source, wish.windowing, clock, ticket)
            return
        async with self._embedder.opened(submission.file, source, wish.windowing) as upload:
            yield upload

    async def _unchanged(
        self, collection: Collection, submission: Submission, speech: Utterance | Upload
    ) -> bool:
        found, _ = await asyncio.to_thread(collection.get, [submission.id])
        if not found or dict(found[0].metadata) != dict(submission.metadata):
            return False
        if found[0].digest != await speech.known_digest():
            return False
        if collection.texts.recipe is None:
            return True
        lines = await asyncio.to_thread(collection.texts.of, submission.id)
        spoken = scribing.timed(submission.transcript, found[0].length)
        return scribing.alike([line for line in lines if not line.head], spoken)

    def _recording(
        self,
        submission: Submission,
        tally: Tally,
        speech: Utterance | Upload,
        plans: Sequence[Plan],
        segmentation: Segmentation,
    ) -> Recording:
        """A recording cut into segments, each with a vector of every plan."""
        finish = self._embedder.encoder.finish
        columns = [
            segments.segments(tally.cells(plan.layer), tally.samples, segmentation)
            for plan in plans
        ]
        vectors = zip(
            *(
                [finish(plan, moments) for _, moments in column]
                for plan, column in zip(plans, columns, strict=True)
            ),
            strict=True,
        )
        spans = [span for span, _ in columns[0]]
        return Recording(
            id=submission.id,
            segments=tuple(Segment.of(*each) for each in zip(spans, vectors, strict=True)),
            metadata=submission.metadata,
            length=tally.samples,
            digest=speech.digest,
            codes=tally.codes(),
        )
