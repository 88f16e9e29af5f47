import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from embedsvc import Client, OutputSpec, PcmFormat, Pooling, SampleFormat, Windowing
from embedsvc.errors import InvalidArgument, SampleRateOutOfRange
from embedsvc.types import Floats

F32 = PcmFormat(SampleFormat.F32, 16_000)
SHORT = Windowing(2 * 16_000, 8_000)


def pieces(samples: Floats, size: int) -> Iterator[bytes]:
    data = samples.astype("<f4").tobytes()
    return (data[at : at + size] for at in range(0, len(data), size))


def test_the_windows_of_a_stream_follow_each_other_to_its_end(
    client: Client, speech: Floats
) -> None:
    long = np.tile(speech, 2)
    windows = list(client.stream(pieces(long, 5_000), F32, windowing=SHORT))
    assert len(windows) > 2
    assert windows[0].span.start == 0
    assert windows[-1].span.end == len(long)
    for before, after in pairwise(windows):
        assert before.span.end == after.span.start
    assert all(window.embedding.vector.dtype == np.float32 for window in windows)


def test_chunks_do_not_matter(client: Client, speech: Floats) -> None:
    small = list(client.stream(pieces(speech, 999 * 4), F32, windowing=SHORT))
    large = list(client.stream(pieces(speech, 100_000), F32, windowing=SHORT))
    assert [window.span for window in small] == [window.span for window in large]
    for left, right in zip(small, large, strict=True):
        np.testing.assert_allclose(left.embedding.vector, right.embedding.vector, atol=2e-5)


def test_an_answer_comes_while_the_caller_still_speaks(client: Client, speech: Floats) -> None:
    heard = threading.Event()

    def speaking() -> Iterator[bytes | None]:
        yield from pieces(np.tile(speech, 2), 20_000)
        yield None
        assert heard.wait(30)
        yield from pieces(speech, 20_000)

    windows = client.stream(speaking(), F32, windowing=SHORT)
    first = next(windows)
    heard.set()
    spans = [first.span, *(window.span for window in windows)]
    assert spans[-1].end == 3 * len(speech)


def test_frames_can_be_asked_of_a_stream(client: Client, speech: Floats) -> None:
    specs = [OutputSpec("frames", 4, Pooling.NONE)]
    (window,) = client.stream(pieces(speech, 50_000), F32, outputs=specs)
    assert window.embedding.outputs[0].array.ndim == 2


def test_a_stream_that_is_left_ends(client: Client, speech: Floats, clip: Path) -> None:
    left = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield from pieces(speech, 50_000)
        finally:
            left.set()

    windows = client.stream(endless(), F32, windowing=SHORT)
    assert next(windows).span.start == 0
    assert not left.is_set()
    windows.close()  # type: ignore[attr-defined]  # the iterator is a generator
    assert left.wait(30), "what is sent is still asked for"
    assert client.embed(clip).frame_count


def test_a_stream_brings_typed_errors(client: Client, speech: Floats) -> None:
    with pytest.raises(SampleRateOutOfRange):
        list(client.stream(pieces(speech, 50_000), PcmFormat(SampleFormat.F32, 16)))
    with pytest.raises(InvalidArgument, match="layer"):
        list(client.stream(pieces(speech, 50_000), F32, outputs=[OutputSpec("", 99)]))
