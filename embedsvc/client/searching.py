"""What can be asked of a collection on a server."""

from collections.abc import Callable, Iterator, Sequence

from embedsvc.client import audible, requests, results, text_search
from embedsvc.client.audible import Audible
from embedsvc.client.channel import Caller, Stubs
from embedsvc.client.results import Duplicates, SearchResult, ServerInfo
from embedsvc.client.text_search import TextSearchResult
from embedsvc.errors import InvalidArgument
from embedsvc.filters import Filter
from embedsvc.types import Floats, Lane, Limit, MomentSearch, Pair, TextMatch
from embedsvc.v1 import search_pb2
from embedsvc.wire import tensors


class Searches:
    """Searches a collection by audio, vector, recording or text, and pairs what it holds."""

    def __init__(
        self, name: str, stubs: Stubs, caller: Caller, info: Callable[[], ServerInfo]
    ) -> None:
        self.name = name
        self._caller = caller
        self._server = info
        self._search = stubs.search

    def search(  # noqa: PLR0913  # each is a field of the request
        self,
        audio: Audible | None = None,
        *,
        vector: Floats | None = None,
        fingerprint: str = "",
        recording: str | None = None,
        top_k: int = 10,
        where: Filter | str | None = None,
        min_score: float | None = None,
        one_per_recording: bool = False,
        moments: MomentSearch | bool = False,
        at_most: Limit | None = None,
        explain: bool = False,
        lane: Lane | str | None = None,
        space: str = "",
    ) -> SearchResult:
        """The nearest segments to an audio, a vector of a space, or a stored recording.

        `space` is the name of that to search in, empty for the collection's first.
        With `moments`, in a collection made with them, the moments that matched, best first:
        `span` and `query_span` of a hit say when, in the recording and in the query.
        `where` is a filter, or its text such as `language = "pol" and year >= 1990`. `at_most`
        keeps one language, say, from taking all the hits. `explain` tells what hits are like before
        the collection's transform. `lane` says how urgent the audio is: None is interactive.
        """
        if not 1 <= top_k < 2**31:
            raise InvalidArgument(f"`top_k` must be at least 1, but is {top_k}", field="top_k")
        request = search_pb2.SearchRequest(
            collection=self.name,
            top_k=top_k,
            one_per_recording=one_per_recording,
            explain=explain,
            lane=audible.lane_number(lane),
            space=space,
        )
        if at_most is not None:
            request.at_most.field, request.at_most.count = at_most.field, at_most.count
        if audio is not None:
            self._server()
            request.audio.CopyFrom(audible.read(audio).message())
        elif vector is not None:
            request.vector.space_fingerprint = fingerprint
            request.vector.vector.CopyFrom(tensors.tensor_message(vector))
        elif recording is not None:
            request.recording_id = recording
        if where is not None:
            request.filter.CopyFrom(requests.condition(where))
        if min_score is not None:
            request.min_score = min_score
        if moments:
            wanted = MomentSearch() if moments is True else moments
            request.moments.CopyFrom(requests.moments(wanted))
        return results.search_result(self._caller.unary(self._search.Search, request))

    def search_text(  # noqa: PLR0913  # each is a field of the request
        self,
        text: str = "",
        *,
        language: str = "",
        phones: str | Sequence[str] = "",
        match: TextMatch | str | None = None,
        audio: Audible | None = None,
        top_k: int = 10,
        where: Filter | str | None = None,
        min_score: float | None = None,
        one_per_recording: bool = False,
        lane: Lane | str | None = None,
        space: str = "",
    ) -> TextSearchResult:
        """Where a typed text is said, in a collection that keeps texts.

        By its words, by how it sounds, or both, as `match` says; without, by what there is. Phones
        are made of the text in its `language`, or given as IPA. With an `audio`, how near segments
        are to it counts as well. The rest is as in `search`.
        """
        if audio is not None:
            self._server()
        request = text_search.request(
            self.name,
            text,
            language=language,
            phones=phones,
            match=match,
            audio=audio,
            top_k=top_k,
            where=where,
            min_score=min_score,
            one_per_recording=one_per_recording,
            lane=lane,
            space=space,
        )
        return text_search.result(self._caller.unary(self._search.SearchText, request))

    def mine(
        self,
        other: "Searches | None" = None,
        *,
        where: Filter | str | None = None,
        other_where: Filter | str | None = None,
        min_margin: float | None = None,
        neighbors: int = 0,
        space: str = "",
        other_space: str | None = None,
        tell: Callable[[int, int], None] | None = None,
    ) -> Iterator[Pair]:
        """Pairs of segments that say the same here and in `other`, the best first.

        Without `other`, in two parts of this collection, as `where` and `other_where` say. `space`
        is that of both sides, unless `other_space` names that of the other. `tell`
        hears how many comparisons of how many are done. Leaving the iterator ends the work.
        """
        left = requests.side(self.name, where, space)
        right = requests.side(
            (other or self).name, other_where, space if other_space is None else other_space
        )
        request = search_pb2.MinePairsRequest(left=left, right=right, neighbors=neighbors)
        if min_margin is not None:
            request.min_margin = min_margin
        for reply in self._caller.stream(self._search.MinePairs, request):
            if reply.HasField("pair"):
                yield results.pair(reply.pair)
            elif tell is not None:
                tell(reply.progress.done, reply.progress.total)

    def duplicates(
        self,
        *,
        where: Filter | str | None = None,
        min_cosine: float = 0.0,
        space: str = "",
        tell: Callable[[int, int], None] | None = None,
    ) -> Iterator[Duplicates]:
        """Groups of recordings with nearly the same sound.

        0 as `min_cosine` leaves the choice to the server; `tell` as in `mine`.
        """
        request = search_pb2.FindDuplicatesRequest(
            collection=self.name, min_cosine=min_cosine, space=space
        )
        if where is not None:
            request.filter.CopyFrom(requests.condition(where))
        for reply in self._caller.stream(self._search.FindDuplicates, request):
            if reply.HasField("group"):
                yield results.duplicates(reply.group)
            elif tell is not None:
                tell(reply.progress.done, reply.progress.total)
