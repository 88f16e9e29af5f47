"""Answers of the pipeline as messages."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from google.protobuf.message import Message

from embedsvc.errors import InvalidArgument, MessageTooLarge
from embedsvc.operations import Progress
from embedsvc.pipeline import segments
from embedsvc.pipeline.embedder import Wish
from embedsvc.pipeline.library import Answer
from embedsvc.pipeline.mining import Group
from embedsvc.pipeline.receipts import Stored
from embedsvc.pipeline.text_search import TextAnswer
from embedsvc.timing import FRAME_RATE
from embedsvc.types import (
    CollectionInfo,
    Embedding,
    Floats,
    Hit,
    LanguageGuess,
    Output,
    OutputSpec,
    Pair,
    Place,
    Pooling,
    Segmentation,
    StoredRecording,
)
from embedsvc.v1 import collection_pb2, embedding_pb2, search_pb2, types_pb2
from embedsvc.wire import audio, metadata, probes, spaces, tensors, texts, times

Fitting = TypeVar("Fitting", bound=Message)
Reply = TypeVar("Reply")

MAX_OUTPUTS = 16
MESSAGE_SHARE = 0.95
"""Of a message that tensors may fill; the rest is for what stands around them."""


def specs(options: embedding_pb2.EmbedOptions, field: str) -> list[OutputSpec]:
    """What a request asks of the pass; nothing said is one output of the model's choice."""
    if len(options.outputs) > MAX_OUTPUTS:
        raise InvalidArgument(
            f"`{field}.outputs` must be at most {MAX_OUTPUTS}, but are {len(options.outputs)}",
            field=f"{field}.outputs",
        )
    return [
        spaces.spec(output, f"{field}.outputs[{place}]")
        for place, output in enumerate(options.outputs)
    ] or [OutputSpec()]


def segmentation(options: embedding_pb2.EmbedOptions, field: str) -> Segmentation | None:
    """How pooled outputs are to be cut; None for one vector of the whole."""
    if not options.HasField("segment_length"):
        if options.HasField("segment_hop"):
            raise InvalidArgument(
                f"`{field}.segment_hop` must be absent without `segment_length`",
                field=f"{field}.segment_hop",
            )
        return None
    length = times.samples(options.segment_length, f"{field}.segment_length")
    hop = (
        times.samples(options.segment_hop, f"{field}.segment_hop")
        if options.HasField("segment_hop")
        else length // 2
    )
    return segments.check(Segmentation(length, hop), f"{field}.segment_")


def styles(options: embedding_pb2.EmbedOptions, wish: Wish, field: str) -> list["Style"]:
    """How each output is to be written."""
    outputs = options.outputs or [embedding_pb2.OutputSpec()]
    return [
        _style(output, plan.pooling, f"{field}.outputs[{place}]")
        for place, (output, plan) in enumerate(zip(outputs, wish.plans, strict=True))
    ]


class Style:
    """Element type and encoding of one tensor."""

    def __init__(self, dtype: types_pb2.DType.ValueType, *, as_floats: bool) -> None:
        self.dtype = dtype
        self.as_floats = as_floats

    @property
    def itemsize(self) -> int:
        """Bytes of one number on the wire."""
        return 4 if self.as_floats else tensors.itemsize(self.dtype)


def _style(output: embedding_pb2.OutputSpec, pooling: Pooling, field: str) -> Style:
    known = {
        types_pb2.DTYPE_UNSPECIFIED: types_pb2.DTYPE_FLOAT16
        if pooling is Pooling.NONE
        else types_pb2.DTYPE_FLOAT32,
        types_pb2.DTYPE_FLOAT32: types_pb2.DTYPE_FLOAT32,
        types_pb2.DTYPE_FLOAT16: types_pb2.DTYPE_FLOAT16,
    }
    if output.dtype not in known:
        raise InvalidArgument(
            f"`{field}.dtype` must be FLOAT32 or FLOAT16, but is {output.dtype}",
            field=f"{field}.dtype",
        )
    if output.encoding not in embedding_pb2.TensorEncoding.values():
        raise InvalidArgument(
            f"`{field}.encoding` must be BYTES or FLOATS, but is {output.encoding}",
            field=f"{field}.encoding",
        )
    as_floats = output.encoding == embedding_pb2.TENSOR_ENCODING_FLOATS
    return Style(known[output.dtype], as_floats=as_floats)


def frame_limit(wish: Wish, styles: Sequence[Style], max_bytes: int) -> int | None:
    """How many frames fit an answer of `max_bytes`; None when no output is frames."""
    row = sum(
        plan.space.dim * style.itemsize
        for plan, style in zip(wish.plans, styles, strict=True)
        if plan.pooling is Pooling.NONE
    )
    return int(max_bytes * MESSAGE_SHARE) // row if row else None


def embedding_message(
    embedding: Embedding,
    styles: Sequence[Style],
    id: str,  # the field's name
) -> embedding_pb2.Embedding:
    """An embedding as a message."""
    return embedding_pb2.Embedding(
        id=id,
        outputs=[
            _output_message(output, style)
            for output, style in zip(embedding.outputs, styles, strict=True)
        ],
        usage=audio.usage_message(len(embedding.span), embedding.frames),
        warnings=audio.warning_messages(embedding.warnings),
        digest=embedding.digest,
        classifications=map(probes.answer_message, embedding.answers),
    )


def _output_message(output: Output, style: Style) -> embedding_pb2.Output:
    return embedding_pb2.Output(
        name=output.name,
        space=spaces.space_message(output.space),
        tensor=tensors.tensor_message(output.array, style.dtype, as_floats=style.as_floats),
        span=times.span_message(output.span),
        frame_rate_hz=FRAME_RATE if output.space.pooling is Pooling.NONE else 0.0,
        segments=map(times.span_message, output.segments),
    )


def collection_message(info: CollectionInfo) -> collection_pb2.Collection:
    """A collection as a message."""
    every = [spaces.space_info_message(each) for each in info.spaces]
    first = every[0]
    return collection_pb2.Collection(
        name=info.name,
        space=first.space,
        segmentation=spaces.segmentation_message(info.segmentation),
        recording_count=info.recordings,
        segment_count=info.segments,
        sequence=info.sequence,
        create_time=times.timestamp(info.created_at),
        transform=first.transform if first.HasField("transform") else None,
        index=first.index if first.HasField("index") else None,
        moments=None if info.moments is None else spaces.codes_message(info.moments),
        spaces=every,
        texts=None if info.texts is None else texts.texts_message(info.texts),
    )


def recording_message(
    recording: StoredRecording, vectors: Floats | None = None
) -> collection_pb2.StoredRecording:
    """A stored recording as a message."""
    message = collection_pb2.StoredRecording(
        id=recording.id,
        metadata=metadata.metadata_message(recording.metadata),
        length=times.sample_duration(recording.length),
        digest=recording.digest,
        spans=map(times.span_message, recording.spans),
        create_time=times.timestamp(recording.created_at),
    )
    if vectors is not None:
        message.vectors.CopyFrom(tensors.tensor_message(vectors, types_pb2.DTYPE_FLOAT16))
    return message


def hit_message(hit: Hit) -> search_pb2.Hit:
    """A hit as a message."""
    message = search_pb2.Hit(
        recording_id=hit.id,
        score=hit.score,
        matched_span=times.span_message(hit.span),
        metadata=metadata.metadata_message(hit.metadata),
        moment_score=hit.moment_score,
    )
    if hit.query_span is not None:
        message.query_span.CopyFrom(times.span_message(hit.query_span))
    if hit.segment is not None:
        message.segment_span.CopyFrom(times.span_message(hit.segment))
    if hit.explanation is not None:
        message.explanation.stored_cosine = hit.explanation.stored_cosine
        message.explanation.languages.extend(map(_guess_message, hit.explanation.languages))
    return message


def _guess_message(guess: LanguageGuess) -> search_pb2.LanguageGuess:
    return search_pb2.LanguageGuess(language=guess.language, probability=guess.probability)


def search_message(answer: Answer) -> search_pb2.SearchResponse:
    """The answer to a search as a message."""
    found = answer.found
    return search_pb2.SearchResponse(
        hits=map(hit_message, found.hits),
        sequence=found.sequence,
        exact=found.exact,
        scanned_segments=found.scanned,
        warnings=audio.warning_messages(answer.warnings),
        usage=audio.usage_message(answer.samples, answer.frames),
        scanned_codes=found.scanned_codes,
        query_languages=map(_guess_message, found.query_languages),
    )


def text_search_message(answer: TextAnswer) -> search_pb2.SearchTextResponse:
    """The answer to a search by text as a message."""
    return search_pb2.SearchTextResponse(
        hits=map(texts.hit_message, answer.hits),
        sequence=answer.sequence,
        phones=answer.phones,
        warnings=audio.warning_messages(answer.warnings),
        usage=audio.usage_message(answer.samples, answer.frames),
    )


def mined_message(mined: Progress | Pair) -> search_pb2.MinePairsResponse:
    """A pair, or how far the mining is, as a message."""
    if isinstance(mined, Progress):
        return search_pb2.MinePairsResponse(progress=_progress_message(mined))
    return search_pb2.MinePairsResponse(pair=_pair_message(mined))


def duplicates_message(found: Progress | Group) -> search_pb2.FindDuplicatesResponse:
    """A group of copies, or how far the search for them is, as a message."""
    if isinstance(found, Progress):
        return search_pb2.FindDuplicatesResponse(progress=_progress_message(found))
    group = search_pb2.DuplicateGroup(
        recording_ids=found.ids, pairs=[_pair_message(pair) for pair in found.pairs]
    )
    return search_pb2.FindDuplicatesResponse(group=group)


def _progress_message(progress: Progress) -> search_pb2.MiningProgress:
    return search_pb2.MiningProgress(done=progress.done, total=progress.total)


def _pair_message(pair: Pair) -> search_pb2.SegmentPair:
    return search_pb2.SegmentPair(
        left=_paired_message(pair.left),
        right=_paired_message(pair.right),
        margin=pair.margin,
        cosine=pair.cosine,
    )


def _paired_message(place: Place) -> search_pb2.PairedSegment:
    return search_pb2.PairedSegment(
        recording_id=place.id,
        span=times.span_message(place.span),
        metadata=metadata.metadata_message(place.metadata),
    )


def timed(write: Callable[..., Reply], *arguments: object) -> tuple[Reply, float]:
    """A reply, or a part of one, and the seconds it took to write."""
    started = time.perf_counter()
    return write(*arguments), time.perf_counter() - started


def fitting(message: Fitting, max_bytes: int, advice: str) -> Fitting:
    """Return `message` if it may be sent; gRPC alone would refuse it without a reason."""
    size = message.ByteSize()
    if size > max_bytes:
        raise MessageTooLarge(
            f"the answer must be at most {max_bytes} bytes, but would be {size}; {advice}",
            max_bytes=max_bytes,
            bytes=size,
        )
    return message


def page_size(asked: int, field: str = "page_size") -> int:
    """How many a page holds: 100 when nothing is asked, 1000 at most."""
    if asked < 0:
        raise InvalidArgument(f"`{field}` must not be negative, but is {asked}", field=field)
    return min(asked or 100, 1000)


def result_message(stored: Stored) -> collection_pb2.RecordingResult:
    """What became of one recording of a write, but for its error."""
    return collection_pb2.RecordingResult(
        id=stored.id,
        warnings=audio.warning_messages(stored.warnings),
        unchanged=stored.unchanged,
        segment_count=stored.segment_count,
    )
