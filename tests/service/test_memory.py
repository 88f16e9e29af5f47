"""Hours of audio in the memory of minutes."""

import struct
from collections.abc import Iterator

import pytest

from embedsvc.timing import frame_count
from embedsvc.v1 import collection_pb2, embedding_pb2, types_pb2
from tests.service.calls import Stubs, arrays, options, s16, speech
from tests.service.processes import Server

MEBIBYTE = 2**20
CHUNK = 20
"""Seconds of speech that are sent again and again."""


def wav(seconds: int) -> Iterator[bytes]:
    """A WAV file of `seconds` in pieces, header first."""
    size = 2 * 16_000 * seconds
    head = struct.pack(
        "<4sI4s4sIHHIIHH", b"RIFF", size + 36, b"WAVE", b"fmt ", 16, *(1, 1, 16_000, 32_000, 2, 16)
    )
    yield head + struct.pack("<4sI", b"data", size)
    piece = s16(speech(CHUNK))
    for _ in range(seconds // CHUNK):
        for place in range(0, len(piece), 128_000):
            yield piece[place : place + 128_000]


def embedded(stubs: Stubs, seconds: int) -> embedding_pb2.Embedding:
    """The input layer, pooled two ways, of a long file."""
    specs = [
        embedding_pb2.OutputSpec(layer=0, projection="", pooling=pooling)
        for pooling in (types_pb2.POOLING_MEAN, types_pb2.POOLING_MAX)
    ]
    config = embedding_pb2.EmbedUploadRequest.Config(options=options(*specs))

    def messages() -> Iterator[embedding_pb2.EmbedUploadRequest]:
        yield embedding_pb2.EmbedUploadRequest(config=config)
        for piece in wav(seconds):
            yield embedding_pb2.EmbedUploadRequest(audio=piece)

    return stubs.embedding.EmbedUpload(messages(), timeout=600).embedding


def stored(stubs: Stubs, name: str, seconds: int) -> collection_pb2.UploadRecordingResponse:
    """A long recording, in a collection of the input layer."""
    kind = collection_pb2.UploadRecordingRequest

    def messages() -> Iterator[collection_pb2.UploadRecordingRequest]:
        yield kind(config=kind.Config(collection=name, id=f"{seconds} s"))
        for piece in wav(seconds):
            yield kind(audio=piece)

    return stubs.collections.UploadRecording(messages(), timeout=600)


@pytest.mark.parametrize(
    "seconds", [10 * 60, pytest.param(3_600, marks=pytest.mark.slow)], ids=["10 min", "1 h"]
)
def test_long_uploads_need_no_more_memory_than_short_ones(process: Server, seconds: int) -> None:
    vectors = embedding_pb2.OutputSpec(layer=0, projection="", pooling=types_pb2.POOLING_MEAN)
    with Stubs(process.address()) as stubs:
        made = collection_pb2.CreateCollectionRequest(
            name=f"long-{seconds}", vectors=vectors, moments=collection_pb2.MomentCodes(layer=0)
        )
        stubs.collections.CreateCollection(made)
        short = embedded(stubs, 5 * CHUNK)
        stored(stubs, made.name, 5 * CHUNK)
        before = process.resident_bytes(peak=True)
        long = embedded(stubs, seconds)
        answer = stored(stubs, made.name, seconds)
        grown = process.resident_bytes(peak=True) - before
        assert long.usage.frames == answer.usage.frames == frame_count(16_000 * seconds)
        assert answer.result.segment_count == seconds // 3 - 1
        # The same piece again and again, though normalized in other windows.
        for ours, theirs in zip(arrays(long), arrays(short), strict=True):
            assert ours @ theirs > 0.99
        print(f"{seconds} s of upload, twice: {grown / MEBIBYTE:.1f} MiB more")  # noqa: T201  # a measurement
        assert grown < 40 * MEBIBYTE
