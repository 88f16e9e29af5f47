"""What the client gives back: plain values with numpy arrays."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from embedsvc.client.bodies import BodyInfo, body_info
from embedsvc.errors import EmbedsvcError
from embedsvc.types import (
    AnsweredSpan,
    AudioWarning,
    CollectionInfo,
    Explanation,
    Floats,
    Hit,
    LanguageGuess,
    Output,
    Pair,
    Place,
    ProbeAnswer,
    Segment,
    Space,
    SpaceInfo,
    Span,
    StoredRecording,
    Timing,
)
from embedsvc.v1 import (
    collection_pb2,
    embedding_pb2,
    probe_pb2,
    search_pb2,
    server_pb2,
    types_pb2,
)
from embedsvc.wire import audio, metadata, probes, spaces, tensors, texts, times
from embedsvc.wire.errors import error_of


@dataclass(frozen=True)
class Embedding:
    """What one utterance got out of its pass; `outputs` are in the order asked.

    `answers` are of the probes that were asked about it.
    """

    outputs: tuple[Output, ...]
    warnings: tuple[AudioWarning, ...]
    seconds: float
    frame_count: int
    digest: str
    timing: Timing
    answers: tuple[ProbeAnswer, ...] = ()

    @property
    def vector(self) -> Floats:
        """The first output: a vector (D,), or frames (T, D)."""
        return self.outputs[0].array

    @property
    def space(self) -> Space:
        """The space of the first output."""
        return self.outputs[0].space


@dataclass(frozen=True)
class Classified:
    """What probes say of one utterance, in the order they were asked.

    `answers` are of all of it; `timelines` has, by the name asked, what each says over time.
    """

    answers: tuple[ProbeAnswer, ...]
    timelines: Mapping[str, tuple[AnsweredSpan, ...]]
    warnings: tuple[AudioWarning, ...]
    seconds: float
    timing: Timing

    @property
    def labels(self) -> tuple[str, ...]:
        """What the first probe answers; empty when it does not know."""
        return self.answers[0].classification.labels


@dataclass(frozen=True)
class HeardWindow:
    """What probes say of one window of live audio.

    `held` is, for each, what it holds to be going on: an answer that enough windows agreed on.
    """

    span: Span
    answers: tuple[ProbeAnswer, ...]
    held: tuple[str, ...]


@dataclass(frozen=True)
class Window:
    """One finished window of a live stream: its embedding, and what it answers for."""

    embedding: Embedding
    span: Span


@dataclass(frozen=True)
class AddedRecording:
    """What became of one recording of a write; `error` is None when it is stored."""

    id: str
    error: EmbedsvcError | None
    warnings: tuple[AudioWarning, ...]
    unchanged: bool
    segment_count: int


@dataclass(frozen=True)
class SearchResult:
    """Hits, the best first; `exact` when every segment the filter allows was scored.

    `scanned` segments were scored, and `scanned_codes` compared to find moments.
    """

    hits: tuple[Hit, ...]
    exact: bool
    scanned: int
    sequence: int
    warnings: tuple[AudioWarning, ...]
    timing: Timing
    scanned_codes: int = 0
    query_languages: tuple[LanguageGuess, ...] = ()

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, place: int) -> Hit:
        return self.hits[place]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)


@dataclass(frozen=True)
class Duplicates:
    """Recordings that are copies, or have parts that are, and the pairs that say so."""

    ids: tuple[str, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class ProfileInfo:
    """A choice with a name; `about` says what it is for, `basis` where it comes from."""

    name: str
    layer: int
    pooling: str
    projection: str
    about: str
    basis: str


@dataclass(frozen=True)
class ServerInfo:
    """What a server is and allows; the first of `bodies` is the model that embeds."""

    version: str
    model: str
    weights: str
    layers: int
    dim: int
    parameters: int
    precision: str
    precision_reason: str
    runtime: str
    default_layer: int
    default_pooling: str
    default_projection: str
    profiles: tuple[ProfileInfo, ...]
    bodies: tuple[BodyInfo, ...]
    features: tuple[str, ...]
    max_request_bytes: int
    max_unary_seconds: float
    max_batch_items: int
    chunk_bytes: int


def server_info(message: server_pb2.GetServerInfoResponse) -> ServerInfo:
    """A server's own words from its message."""
    model, limits = message.model, message.limits
    return ServerInfo(
        version=message.version,
        model=model.name,
        weights=model.weights,
        layers=model.layer_count,
        dim=model.dim,
        parameters=model.parameter_count,
        precision=model.precision,
        precision_reason=model.precision_reason,
        runtime=model.runtime,
        default_layer=model.default_layer,
        default_pooling=model.default_pooling,
        default_projection=model.default_projection,
        profiles=tuple(map(_profile, model.profiles)),
        bodies=tuple(map(body_info, message.bodies)),
        features=tuple(message.features),
        max_request_bytes=limits.max_request_bytes,
        max_unary_seconds=limits.max_unary_audio_seconds,
        max_batch_items=limits.max_batch_items,
        chunk_bytes=limits.recommended_chunk_bytes,
    )


def _profile(message: server_pb2.Profile) -> ProfileInfo:
    return ProfileInfo(
        name=message.name,
        layer=message.layer,
        pooling=message.pooling,
        projection=message.projection,
        about=message.about,
        basis=message.basis,
    )


def collection_info(message: collection_pb2.Collection) -> CollectionInfo:
    """A collection from its message."""
    return CollectionInfo(
        name=message.name,
        spaces=tuple(map(spaces.space_info, message.spaces)) or (_only_space(message),),
        segmentation=spaces.segmentation(message.segmentation, "segmentation"),
        recordings=message.recording_count,
        segments=message.segment_count,
        sequence=message.sequence,
        created_at=times.epoch_seconds(message.create_time),
        moments=spaces.codes(message.moments) if message.HasField("moments") else None,
        texts=texts.texts(message.texts) if message.HasField("texts") else None,
    )


def _only_space(message: collection_pb2.Collection) -> SpaceInfo:
    """That of a collection as servers told before there were several."""
    told = collection_pb2.CollectionSpace(
        space=message.space,
        transform=message.transform if message.HasField("transform") else None,
        index=message.index if message.HasField("index") else None,
    )
    return spaces.space_info(told)


def added(message: collection_pb2.RecordingResult) -> AddedRecording:
    """What became of one recording, from its message."""
    return AddedRecording(
        id=message.id,
        error=error_of(message.error) if message.HasField("error") else None,
        warnings=audio.warnings(message.warnings),
        unchanged=message.unchanged,
        segment_count=message.segment_count,
    )


def stored(message: collection_pb2.StoredRecording) -> StoredRecording:
    """A stored recording from its message."""
    return StoredRecording(
        id=message.id,
        metadata=metadata.metadata(message.metadata, "metadata"),
        length=times.samples(message.length, "length"),
        digest=message.digest,
        spans=tuple(times.span(span, "spans") for span in message.spans),
        created_at=times.epoch_seconds(message.create_time),
    )


def segments(message: collection_pb2.StoredRecording) -> list[Segment]:
    """The segments of a stored recording that came with its vectors."""
    vectors = tensors.array(message.vectors, "vectors", dimensions=2)
    spans = (times.span(span, "spans") for span in message.spans)
    return [Segment(span, vector) for span, vector in zip(spans, vectors, strict=True)]


def embedding(message: embedding_pb2.Embedding, timing: types_pb2.Timing | None) -> Embedding:
    """An embedding from its message."""
    return Embedding(
        outputs=tuple(_output(output) for output in message.outputs),
        warnings=audio.warnings(message.warnings),
        seconds=message.usage.audio_seconds,
        frame_count=message.usage.frames,
        digest=message.digest,
        timing=times.timing(timing) if timing is not None else Timing(),
        answers=tuple(map(probes.answer, message.classifications)),
    )


def classified(
    message: probe_pb2.ClassifyAudioResponse | probe_pb2.ClassifyUploadResponse,
) -> Classified:
    """What probes say of one utterance, from its message."""
    return Classified(
        answers=tuple(map(probes.answer, message.classifications)),
        timelines={each.probe: probes.answered_spans(each) for each in message.timelines},
        warnings=audio.warnings(message.warnings),
        seconds=message.usage.audio_seconds,
        timing=times.timing(message.timing),
    )


def heard_window(message: probe_pb2.StreamClassifyResponse) -> HeardWindow:
    """What probes say of one window of live audio, from its message."""
    return HeardWindow(
        span=times.span(message.span, "span"),
        answers=tuple(map(probes.answer, message.classifications)),
        held=tuple(message.labels),
    )


def _output(message: embedding_pb2.Output) -> Output:
    dimensions = len(message.tensor.shape)
    return Output(
        name=message.name,
        space=spaces.space(message.space),
        array=tensors.array(message.tensor, "tensor", dimensions=dimensions),
        span=Span(
            times.samples(message.span.start, "span.start"),
            times.samples(message.span.end, "span.end"),
        ),
        segments=tuple(times.span(span, "segments") for span in message.segments),
    )


def window(message: embedding_pb2.StreamEmbedResponse) -> Window:
    """A window of a stream from its message."""
    return Window(embedding(message.embedding, None), times.span(message.span, "span"))


def search_result(message: search_pb2.SearchResponse) -> SearchResult:
    """What a search found, from its message."""
    return SearchResult(
        hits=tuple(_hit(hit) for hit in message.hits),
        exact=message.exact,
        scanned=message.scanned_segments,
        sequence=message.sequence,
        warnings=audio.warnings(message.warnings),
        timing=times.timing(message.timing),
        scanned_codes=message.scanned_codes,
        query_languages=_guesses(message.query_languages),
    )


def pair(message: search_pb2.SegmentPair) -> Pair:
    """Two segments that belong together, from their message."""
    return Pair(_place(message.left), _place(message.right), message.margin, message.cosine)


def duplicates(message: search_pb2.DuplicateGroup) -> Duplicates:
    """Recordings that are copies, from their message."""
    return Duplicates(tuple(message.recording_ids), tuple(map(pair, message.pairs)))


def _place(message: search_pb2.PairedSegment) -> Place:
    return Place(
        id=message.recording_id,
        span=times.span(message.span, "span"),
        metadata=metadata.metadata(message.metadata, "metadata"),
    )


def _hit(message: search_pb2.Hit) -> Hit:
    return Hit(
        id=message.recording_id,
        score=message.score,
        span=times.span(message.matched_span, "matched_span"),
        metadata=metadata.metadata(message.metadata, "metadata"),
        query_span=times.span(message.query_span, "query_span")
        if message.HasField("query_span")
        else None,
        moment_score=message.moment_score if message.HasField("moment_score") else None,
        segment=times.span(message.segment_span, "segment_span")
        if message.HasField("segment_span")
        else None,
        explanation=_explanation(message.explanation) if message.HasField("explanation") else None,
    )


def _explanation(message: search_pb2.HitExplanation) -> Explanation:
    return Explanation(message.stored_cosine, _guesses(message.languages))


def _guesses(messages: Iterable[search_pb2.LanguageGuess]) -> tuple[LanguageGuess, ...]:
    return tuple(LanguageGuess(each.language, each.probability) for each in messages)
