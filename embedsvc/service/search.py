"""The SearchService: finds segments near a query."""

import math
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace

from embedsvc.errors import Exhausted, InvalidArgument
from embedsvc.pipeline import mining
from embedsvc.pipeline.second_stage import MAX_CANDIDATES, Search
from embedsvc.pipeline.text_search import TextSearch
from embedsvc.service import convert
from embedsvc.service.backend import Backend
from embedsvc.service.status import Context, naming, stream, unary
from embedsvc.service.terms import chosen_lane, terms
from embedsvc.types import Lane, Limit, MomentSearch
from embedsvc.v1 import search_pb2, search_pb2_grpc
from embedsvc.wire import audio, enums, metadata, tensors, times

MAX_TOP_K = 1000

MOST_MININGS = 2
"""Calls of MinePairs and FindDuplicates at once."""

RETRY_SECONDS = 10.0

NEIGHBORS = 4
"""That a margin compares with, as in the paper."""

MIN_COSINE = 0.85
"""Of 2,097 recordings of people, words and sentences by `mini`, no two are nearer than 0.82
(synthetic voices with one text can be); docs/across-languages.md has how near copies are."""


class SearchServicer(search_pb2_grpc.SearchServiceServicer):
    """Answers Search."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._mining = 0

    @contextmanager
    def _room_to_mine(self) -> Iterator[None]:
        """One of few places, since each mining holds all vectors; raises Exhausted without one."""
        if self._mining == MOST_MININGS:
            raise Exhausted(
                f"at most {MOST_MININGS} collections may be mined at once; try again later",
                retry_after_seconds=RETRY_SECONDS,
            )
        self._mining += 1
        try:
            yield
        finally:
            self._mining -= 1

    @unary
    async def Search(
        self, request: search_pb2.SearchRequest, context: Context
    ) -> search_pb2.SearchResponse:
        """The nearest segments of a collection."""
        lane = chosen_lane(request.lane, "lane", Lane.INTERACTIVE)
        search = replace(_search(request), terms=terms(context, lane, patient=False))
        with naming(query="vector.vector", id="recording_id"):
            answer = await self._backend.library.search(request.collection, search)
        limit = self._backend.settings.server.max_response_bytes
        message, seconds = convert.timed(convert.search_message, answer)
        message.timing.CopyFrom(times.timing_message(answer.timing.written(seconds)))
        return convert.fitting(message, limit, "ask for fewer hits")

    @unary
    async def SearchText(
        self, request: search_pb2.SearchTextRequest, context: Context
    ) -> search_pb2.SearchTextResponse:
        """Where a typed text is said."""
        lane = chosen_lane(request.lane, "lane", Lane.INTERACTIVE)
        search = replace(_text_search(request), terms=terms(context, lane, patient=False))
        answer = await self._backend.library.search_text(request.collection, search)
        limit = self._backend.settings.server.max_response_bytes
        message, seconds = convert.timed(convert.text_search_message, answer)
        message.timing.CopyFrom(times.timing_message(answer.timing.written(seconds)))
        return convert.fitting(message, limit, "ask for fewer hits")

    @stream
    async def MinePairs(
        self, request: search_pb2.MinePairsRequest, context: Context
    ) -> AsyncIterator[search_pb2.MinePairsResponse]:
        """Pairs of two collections that say the same, the best first."""
        least = request.min_margin if request.HasField("min_margin") else -math.inf
        found = mining.mine(
            self._backend.library.catalog,
            _side(request.left, "left"),
            _side(request.right, "right"),
            request.neighbors or NEIGHBORS,
            least,
        )
        with self._room_to_mine():
            async with aclosing(found) as answers:
                async for each in answers:
                    yield convert.mined_message(each)

    @stream
    async def FindDuplicates(
        self, request: search_pb2.FindDuplicatesRequest, context: Context
    ) -> AsyncIterator[search_pb2.FindDuplicatesResponse]:
        """Recordings of a collection with nearly the same sound."""
        found = mining.duplicates(
            self._backend.library.catalog,
            mining.Side(
                request.collection,
                metadata.condition(request.filter) if request.HasField("filter") else None,
                request.space,
            ),
            request.min_cosine or MIN_COSINE,
        )
        with self._room_to_mine():
            async with aclosing(found) as answers:
                async for each in answers:
                    yield convert.duplicates_message(each)


def _side(side: search_pb2.MinePairsRequest.Side, field: str) -> mining.Side:
    given = side.HasField("filter")
    condition = metadata.condition(side.filter, f"{field}.filter") if given else None
    return mining.Side(side.collection, condition, side.space)


def _top_k(asked: int) -> int:
    """How many hits: 10 when nothing is asked."""
    if asked > MAX_TOP_K:
        raise InvalidArgument(
            f"`top_k` must be 1 to {MAX_TOP_K}, but is {asked}", field="top_k", max_top_k=MAX_TOP_K
        )
    return asked or 10


def _text_search(request: search_pb2.SearchTextRequest) -> TextSearch:
    return TextSearch(
        text=request.text,
        language=request.language_code,
        phones=request.phones,
        match=enums.ours(enums.TEXT_MATCH, request.match, "match") if request.match else None,
        audio=audio.source(request.audio, "audio") if request.HasField("audio") else None,
        space=request.space,
        top_k=_top_k(request.top_k),
        condition=metadata.condition(request.filter) if request.HasField("filter") else None,
        min_score=request.min_score if request.HasField("min_score") else None,
        one_per_recording=request.one_per_recording,
    )


def _search(request: search_pb2.SearchRequest) -> Search:
    top_k = _top_k(request.top_k)
    kind = request.WhichOneof("query")
    if kind is None:
        raise InvalidArgument("`query` must be an audio, a vector or a recording", field="query")
    return Search(
        audio=audio.source(request.audio, "audio") if kind == "audio" else None,
        vector=tensors.array(request.vector.vector, "vector.vector", dimensions=1)
        if kind == "vector"
        else None,
        fingerprint=request.vector.space_fingerprint,
        recording_id=request.recording_id if kind == "recording_id" else None,
        top_k=top_k,
        condition=metadata.condition(request.filter) if request.HasField("filter") else None,
        min_score=request.min_score if request.HasField("min_score") else None,
        one_per_recording=request.one_per_recording,
        moments=_moments(request) if request.HasField("moments") else None,
        limit=Limit(request.at_most.field, request.at_most.count)
        if request.HasField("at_most")
        else None,
        explain=request.explain,
        space=request.space,
    )


def _moments(request: search_pb2.SearchRequest) -> MomentSearch:
    message, default = request.moments, MomentSearch()
    for field, given in (("at_most", request.HasField("at_most")), ("explain", request.explain)):
        if given:
            raise InvalidArgument(f"`{field}` must be absent with `moments`", field=field)
    if message.candidates > MAX_CANDIDATES:
        raise InvalidArgument(
            f"`moments.candidates` must be 1 to {MAX_CANDIDATES}, but is {message.candidates}",
            field="moments.candidates",
            max_candidates=MAX_CANDIDATES,
        )
    return MomentSearch(
        method=enums.ours(enums.MOMENT_METHOD, message.method, "moments.method")
        if message.method
        else default.method,
        candidates=message.candidates or None,
        min_score=message.min_score if message.HasField("min_score") else None,
    )
