"""Searches, and their second stage: from the segments that are near to the moments that match."""

import asyncio
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from embedsvc import samples
from embedsvc.batching import Terms
from embedsvc.errors import (
    AudioTooLong,
    FailedPrecondition,
    InvalidArgument,
    RecordingNotFound,
    SpaceMismatch,
)
from embedsvc.filters import Filter
from embedsvc.index import Candidates, Coded, Coding, Collection, Owner, Reach
from embedsvc.moments import Moment, Recipe, Stretch, find, fit, recipe_of, units
from embedsvc.moments import Query as Wanted
from embedsvc.pipeline.clock import Clock
from embedsvc.pipeline.embedder import ON_CALL, Embedder, Wish
from embedsvc.pipeline.tally import Tally
from embedsvc.timing import SAMPLE_RATE, to_seconds
from embedsvc.types import (
    AudioWarning,
    Codes,
    CollectionInfo,
    Floats,
    Found,
    Hit,
    Limit,
    MomentCodes,
    MomentSearch,
    OutputSpec,
    Pooling,
    Source,
    Space,
    Span,
    Windowing,
)

MAX_CANDIDATES = 1_000
MAX_SAMPLES = 60 * SAMPLE_RATE
"""The longest query: the work grows with it."""

MOST_LOOKING = 4
"""Searches for moments that align at once; others wait for them."""

MARGIN = 1 * SAMPLE_RATE
"""How far beyond a candidate's ends is looked: what is at its edge is only half in it."""


@dataclass(frozen=True)
class Search:
    """A search: exactly one of the three queries is set."""

    audio: Source | None = None
    vector: Floats | None = None
    fingerprint: str = ""
    recording_id: str | None = None
    top_k: int = 10
    condition: Filter | None = None
    min_score: float | None = None
    one_per_recording: bool = False
    moments: MomentSearch | None = None
    limit: Limit | None = None
    explain: bool = False
    space: str = ""
    terms: Terms = ON_CALL


@dataclass(frozen=True)
class Query:
    """A search's vector (D,), its codes if moments are wanted, and what they were made from."""

    vector: Floats
    warnings: tuple[AudioWarning, ...] = ()
    samples: int = 0
    frames: int = 0
    codes: Codes | None = None


@dataclass(frozen=True)
class MomentChoice:
    """What may be chosen about codes; None is the model's own layer."""

    layer: int | None = None


class SecondStage:
    """Makes the recipes of collections, the codes of queries, and finds moments."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._recipes: dict[str, Recipe] = {}
        # Threads of their own: looking through thousands of hours must not hold those that decode,
        # read and write for everybody else.
        self._looking = ThreadPoolExecutor(MOST_LOOKING, thread_name_prefix="moments")

    async def recipe(
        self, choice: MomentChoice, windowing: Windowing, foreign: Space | None
    ) -> Recipe:
        """How a new collection makes codes; fitted on speech that comes with the package."""
        if foreign is not None:
            raise InvalidArgument(
                "`moments` must be absent for vectors made elsewhere", field="moments"
            )
        wish = self._frames(choice.layer, windowing, "moments")
        (plan,) = wish.plans
        known = self._recipes.get(plan.space.fingerprint)
        if known is None:
            heard = [
                await self._embedder.embed(Source(clip.data()), wish)
                for clip in samples.one_of_each()
            ]
            states = [embedding.outputs[0].array for embedding in heard]
            known = await asyncio.to_thread(fit, plan.space.fingerprint, plan.layer, states)
            self._recipes[plan.space.fingerprint] = known
        return known

    def recipe_of(self, collection: Collection) -> Recipe | None:
        """How a collection makes codes; SpaceMismatch if this server's model cannot."""
        recipe = _recipe(collection)
        if recipe is not None:
            try:
                wish = self._frames(recipe.layer, collection.space().windowing, "moments")
            except InvalidArgument as error:
                raise mismatch(recipe.space, "none", "moments") from error
            made = wish.plans[0].space.fingerprint
            if made != recipe.space:
                raise mismatch(recipe.space, made, "moments")
        return recipe

    async def query(
        self, collection: Collection, search: Search, wish: Wish | None, clock: Clock
    ) -> Query:
        """The vector and the codes of a query that is audio, or a stored recording."""
        if _recipe(collection) is None:
            raise FailedPrecondition(
                f"`moments` needs a collection that keeps codes of frames, but {collection.name!r} "
                "was made without",
                field="moments",
            )
        if search.recording_id is not None:
            return await asyncio.to_thread(
                _stored_query, collection, search.recording_id, search.space
            )
        if search.audio is None or wish is None:
            raise InvalidArgument(
                "`moments` needs an audio or a recording to search with, but has a vector",
                field="moments",
            )
        recipe = self.recipe_of(collection)
        async with self._embedder.admitted(search.terms, clock, search.audio) as ticket:
            heard = await self._embedder.read(search.audio, wish.windowing, clock, ticket)
            _check_length(heard.samples, "audio")
            tally = Tally(wish.layers, recipe=recipe)
            await self._embedder.run(heard, tally, clock, ticket)
        (plan,) = wish.plans
        vector = self._embedder.encoder.finish(plan, tally.whole(plan.layer))
        return Query(vector, heard.warnings, tally.samples, tally.frame_count, tally.codes())

    async def search(
        self, collection: Collection, search: Search, query: Query, clock: Clock
    ) -> Found:
        """The moments that match; whoever leaves is not searched for any longer."""
        started = time.perf_counter()
        left = threading.Event()
        try:
            looked = partial(_look, collection, search, query, left)
            return await asyncio.get_running_loop().run_in_executor(self._looking, looked)
        finally:
            left.set()
            clock.moments += time.perf_counter() - started

    def _frames(self, layer: int | None, windowing: Windowing, field: str) -> Wish:
        spec = OutputSpec("", layer, Pooling.NONE, "", normalize=False)
        return self._embedder.wish([spec], windowing, field)


def info_of(collection: Collection) -> CollectionInfo:
    """A collection as it is now, with how it keeps codes."""
    recipe = _recipe(collection)
    kept = None if recipe is None else MomentCodes(recipe.layer, recipe.rate, recipe.dim)
    return replace(collection.info(), moments=kept)


def same_space(space: Space, fingerprint: str, field: str) -> None:
    """Raise SpaceMismatch unless `fingerprint` is that of `space`."""
    if fingerprint != space.fingerprint:
        raise mismatch(space.fingerprint, fingerprint, field)


def mismatch(collection: str, given: str, field: str) -> SpaceMismatch:
    """The error for vectors of another space than the collection's."""
    return SpaceMismatch(
        f"`{field}` must be of the collection's space {collection}, but is of {given or 'none'}",
        field=field,
        collection_fingerprint=collection,
        given_fingerprint=given,
    )


def _recipe(collection: Collection) -> Recipe | None:
    kept = collection.codes.recipe
    return None if kept is None else recipe_of(kept)


def _stored_query(collection: Collection, name: str, space: str) -> Query:
    codes = collection.codes.of(name)
    found = collection.read(name, (space,))
    if found is None:  # deleted since
        raise RecordingNotFound(f"`id` must exist, but {name!r} does not", field="id", name=name)
    recording, vectors = found
    _check_length(recording.length, "recording_id")
    return Query(vectors.mean(axis=0), samples=recording.length, codes=codes)


def _check_length(samples: int, field: str) -> None:
    if samples > MAX_SAMPLES:
        raise AudioTooLong(
            f"`{field}` must be at most {to_seconds(MAX_SAMPLES):g} s with `moments`, "
            f"but is {to_seconds(samples):g} s",
            field=field,
            limit_seconds=to_seconds(MAX_SAMPLES),
            seconds=to_seconds(samples),
        )


def _look(collection: Collection, search: Search, query: Query, left: threading.Event) -> Found:
    """Everywhere, or where the nearest segments are."""
    assert search.moments is not None
    recipe = _recipe(collection)
    assert recipe is not None
    look = partial(_moments, search, query, recipe.step, left)
    if search.moments.candidates is None:
        with collection.codes.each(search.condition, search.recording_id) as coding:
            nothing = Found((), coding.sequence, exact=True, scanned=0)
            return look(nothing, coding)
    reach = Reach(recipe.step, MARGIN // recipe.step)
    wanted = Candidates(
        search.moments.candidates, reach, search.condition, search.recording_id, search.space
    )
    found, coding = collection.codes.near(query.vector, wanted)
    return look(found, coding)


def _moments(
    search: Search, query: Query, step: int, left: threading.Event, near: Found, coding: Coding
) -> Found:
    """The moments in some codes; behind them what is near and has none."""
    assert search.moments is not None
    assert query.codes is not None
    least = -np.inf if search.moments.min_score is None else search.moments.min_score
    wanted = Wanted(
        units(query.codes), search.moments.method, search.top_k, search.one_per_recording
    )
    heard: set[int] = set()
    seen = find(wanted, _stretches(coding.runs, heard), left.is_set)
    kept = [moment for moment in seen.moments if moment.score >= least]
    owners = coding.owners({moment.recording for moment in kept})
    segments = _by_recording(near.hits)
    hits = [
        _hit(moment, owners[moment.recording], segments, step, query.samples) for moment in kept
    ]
    if near.hits and search.moments.min_score is None:
        coded = {owner.id for owner in coding.owners(heard).values()}
        hits += _codeless(near.hits, coded, once=search.one_per_recording)
    return replace(near, hits=tuple(hits[: search.top_k]), scanned_codes=seen.codes)


def _stretches(runs: Iterable[Coded], heard: set[int]) -> Iterator[Stretch]:
    for run in runs:
        heard.add(run.rid)
        yield Stretch(run.rid, run.first, run.codes)


def _by_recording(hits: Sequence[Hit]) -> dict[str, list[Hit]]:
    near: dict[str, list[Hit]] = {}
    for hit in hits:
        near.setdefault(hit.id, []).append(hit)
    return near


def _codeless(hits: Sequence[Hit], coded: AbstractSet[str], *, once: bool) -> list[Hit]:
    """Hits in recordings without codes; with `once` the best of each."""
    seen: set[str] = set()
    kept = []
    for hit in hits:
        if hit.id not in coded and hit.id not in seen:
            kept.append(hit)
            if once:
                seen.add(hit.id)
    return kept


def _hit(
    moment: Moment, of: Owner, near: Mapping[str, Sequence[Hit]], step: int, samples: int
) -> Hit:
    span = Span(moment.start * step, min(moment.end * step, of.length))
    start, end = moment.query
    hit = Hit(
        id=of.id,
        score=moment.score,
        span=span,
        metadata=of.metadata,
        query_span=Span(start * step, min(end * step, samples)),
        moment_score=moment.score,
    )
    if of.id not in near:
        return hit
    # The segment that holds most of the moment; of equal ones the nearest.
    best = max(
        near[of.id],
        key=lambda each: min(each.span.end, span.end) - max(each.span.start, span.start),
    )
    return replace(hit, score=best.score, segment=best.span)
