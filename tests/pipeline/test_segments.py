from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.pipeline.segments import check, segments
from embedsvc.timing import FRAME, MIN_SAMPLES, SAMPLE_RATE, frame_count
from embedsvc.types import Floats, Moments, Segmentation, Span

segmentations = st.builds(
    lambda frames, width: Segmentation(frames * FRAME * width, frames * FRAME),
    st.integers(50, 100),
    st.integers(1, 5),
)


def moments(run: Floats) -> Moments:
    squares = (run.var(0) * len(run)).astype(np.float32)
    return Moments(len(run), run.mean(0), squares, run.max(0))


def frames_of(samples: int) -> Floats:
    rows = np.random.default_rng(samples).standard_normal((frame_count(samples), 2))
    return rows.astype(np.float32)


def cells_of(frames: Floats, segmentation: Segmentation) -> list[Moments]:
    size = segmentation.hop // FRAME
    return [moments(frames[start : start + size]) for start in range(0, len(frames), size)]


def cut(samples: int, segmentation: Segmentation) -> list[tuple[Span, Moments]]:
    return segments(cells_of(frames_of(samples), segmentation), samples, segmentation)


@settings(max_examples=100, deadline=None)
@given(samples=st.integers(MIN_SAMPLES, 20 * SAMPLE_RATE), segmentation=segmentations)
def test_segments_cover_the_recording_and_no_two_are_almost_the_same(
    samples: int, segmentation: Segmentation
) -> None:
    length, hop = segmentation.length, segmentation.hop
    spans = [span for span, _ in cut(samples, segmentation)]
    assert spans[0].start == 0
    assert spans[-1].end == samples
    for span, after in pairwise(spans):
        assert after.start - span.start == hop
        assert after.end - span.end >= hop // 2
        assert after.start <= span.end
    for span in spans[:-1]:
        assert len(span) == length
    assert len(spans[-1]) < length + hop // 2 + MIN_SAMPLES
    if len(spans) > 1:
        assert len(spans[-1]) >= length - hop // 2


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(MIN_SAMPLES, 15 * SAMPLE_RATE), segmentation=segmentations)
def test_a_segment_is_pooled_over_its_own_frames(samples: int, segmentation: Segmentation) -> None:
    frames = frames_of(samples)
    for span, found in cut(samples, segmentation):
        own = frames[span.start // FRAME : None if span.end == samples else span.end // FRAME]
        assert found.count == len(own)
        np.testing.assert_allclose(found.mean, own.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.squares, own.var(0) * len(own), rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(found.peak, own.max(0))


def test_a_recording_shorter_than_a_segment_is_one_segment() -> None:
    segmentation = Segmentation()
    for samples in (MIN_SAMPLES, segmentation.hop + 1_000, segmentation.length):
        ((span, found),) = cut(samples, segmentation)
        assert span == Span(0, samples)
        assert found.count == frame_count(samples)


@pytest.mark.parametrize(
    ("extra", "spans"),
    [
        (0, [(0, 6)]),
        (1.4, [(0, 7.4)]),
        (1.6, [(0, 6), (3, 7.6)]),
        (3, [(0, 6), (3, 9)]),
        (4.4, [(0, 6), (3, 10.4)]),
    ],
)
def test_a_short_rest_belongs_to_the_last_segment(
    extra: float, spans: list[tuple[float, float]]
) -> None:
    samples = round((6 + extra) * SAMPLE_RATE)
    assert [span.seconds for span, _ in cut(samples, Segmentation())] == spans


def test_the_end_is_that_of_the_recording_and_not_of_its_last_frame() -> None:
    samples = 6 * SAMPLE_RATE + 123
    assert cut(samples, Segmentation())[-1][0].end == samples


@pytest.mark.parametrize(
    ("length", "hop", "field", "rule"),
    [
        (15_999, 8_000, "length", "be 1 s to 60 s"),
        (960_320, 480_160, "length", "be 1 s to 60 s"),
        (16_000, 7_999, "hop", "be 0.5 s up to `length`"),
        (16_000, 0, "hop", "be 0.5 s up to `length`"),
        (16_000, 16_320, "hop", "be 0.5 s up to `length`"),
        (16_002, 8_001, "hop", "be a multiple of 0.02 s"),
        (20_000, 8_000, "length", "be a multiple of `hop`"),
    ],
)
def test_a_segmentation_that_is_not_of_whole_cells_is_refused(
    length: int, hop: int, field: str, rule: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(Segmentation(length, hop))
    assert caught.value.field == f"segmentation.{field}"
    assert f"must {rule}, but is" in caught.value.message


@given(segmentations)
def test_a_segmentation_of_whole_cells_is_accepted(segmentation: Segmentation) -> None:
    assert check(segmentation) is segmentation
