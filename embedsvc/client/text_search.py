"""Searches by typed text, as a caller asks them and gets them answered."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from embedsvc.client import audible, requests
from embedsvc.client.audible import Audible
from embedsvc.errors import InvalidArgument
from embedsvc.filters import Filter
from embedsvc.types import AudioWarning, Lane, Line, TextHit, TextMatch, Timing
from embedsvc.v1 import collection_pb2, search_pb2
from embedsvc.wire import audio as wire_audio
from embedsvc.wire import enums, texts, times


@dataclass(frozen=True)
class TextSearchResult:
    """Where a text is said, the best first; `phones` were looked for."""

    hits: tuple[TextHit, ...]
    phones: tuple[str, ...]
    sequence: int
    warnings: tuple[AudioWarning, ...]
    timing: Timing

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, place: int) -> TextHit:
        return self.hits[place]

    def __iter__(self) -> Iterator[TextHit]:
        return iter(self.hits)


def request(  # noqa: PLR0913  # each is a field of the request
    collection: str,
    text: str,
    *,
    language: str,
    phones: str | Sequence[str],
    match: TextMatch | str | None,
    audio: Audible | None,
    top_k: int,
    where: Filter | str | None,
    min_score: float | None,
    one_per_recording: bool,
    lane: Lane | str | None,
    space: str,
) -> search_pb2.SearchTextRequest:
    """The message of a search; raises InvalidArgument."""
    if not 1 <= top_k < 2**31:
        raise InvalidArgument(f"`top_k` must be at least 1, but is {top_k}", field="top_k")
    message = search_pb2.SearchTextRequest(
        collection=collection,
        text=text,
        language_code=language,
        phones=phones if isinstance(phones, str) else " ".join(phones),
        match=search_pb2.TEXT_MATCH_UNSPECIFIED if match is None else _match(match),
        space=space,
        top_k=top_k,
        min_score=min_score,
        one_per_recording=one_per_recording,
        lane=audible.lane_number(lane),
    )
    if audio is not None:
        message.audio.CopyFrom(audible.read(audio).message())
    if where is not None:
        message.filter.CopyFrom(requests.condition(where))
    return message


def result(message: search_pb2.SearchTextResponse) -> TextSearchResult:
    """What was found, from its message."""
    return TextSearchResult(
        hits=tuple(map(texts.hit, message.hits)),
        phones=tuple(message.phones),
        sequence=message.sequence,
        warnings=wire_audio.warnings(message.warnings),
        timing=times.timing(message.timing),
    )


Spoken = str | Sequence[Line]
"""What a recording is known to say: lines with times, or the text of all of it without."""


def transcript(spoken: Spoken) -> list[collection_pb2.TranscriptLine]:
    """What a caller knows to be said, as messages; a text without words is none."""
    if isinstance(spoken, str):
        spoken = [Line.untimed(spoken)] if spoken.split() else []
    return list(map(texts.transcript_message, spoken))


def _match(match: TextMatch | str) -> "search_pb2.TextMatch.ValueType":
    try:
        return enums.TEXT_MATCH[TextMatch(match)]
    except ValueError as error:
        raise InvalidArgument(
            f"`match` must be one of {', '.join(TextMatch)}, but is {match!r}", field="match"
        ) from error
