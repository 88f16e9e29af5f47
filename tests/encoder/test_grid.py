from hypothesis import given
from hypothesis import strategies as st

from embedsvc.encoder.grid import CONVOLUTIONS, FRAMES, Grid
from embedsvc.timing import frame_count
from embedsvc.types import Span

grids = st.builds(
    lambda grid, kernel, stride, padding: grid.strided(kernel, stride, padding),
    st.sampled_from([FRAMES, CONVOLUTIONS]),
    st.sampled_from([1, 3, 5]),
    st.integers(1, 4),
    st.integers(0, 2),
)


@given(grids, st.integers(0, 500))
def test_labels_tile_the_time(grid: Grid, label: int) -> None:
    here, after = grid.span(label), grid.span(label + 1)
    assert here.end == after.start
    assert len(after) == grid.hop or not after.start


@given(st.integers(0, 100_000))
def test_a_recording_has_as_many_frames_as_fit(samples: int) -> None:
    assert FRAMES.count(samples) == frame_count(samples)
    for grid in (FRAMES, CONVOLUTIONS):
        count = grid.count(samples)
        assert not count or grid.heard(count - 1).end <= samples
        assert grid.heard(count).end > samples


@given(grids, st.integers(0, 500), st.integers(0, 10_000))
def test_no_label_stands_for_samples_outside_the_recording(
    grid: Grid, label: int, samples: int
) -> None:
    span = grid.span(label, samples)
    assert 0 <= span.start <= span.end <= samples


@given(grids, st.integers(5, 500))
def test_a_label_stands_for_the_middle_of_what_it_hears(grid: Grid, label: int) -> None:
    span, heard = grid.span(label), grid.heard(label)
    before, behind = span.start - heard.start, heard.end - span.end
    assert abs(before - behind) <= 1
    assert len(heard) == grid.field


def test_frames_of_features_hear_two_analysis_windows_of_them() -> None:
    assert FRAMES.heard(0) == Span(0, 560)
    assert FRAMES.heard(48).end <= 16_000 < FRAMES.heard(49).end
    assert frame_count(16_000) == 49


def test_an_adapter_with_a_stride_of_two_gives_a_label_every_40_ms() -> None:
    grid = FRAMES.strided(kernel=3, stride=2, padding=1)
    assert (grid.hop, grid.field, grid.first) == (640, 1200, -320)
    assert grid.heard(0) == Span(0, 880)
    assert grid.heard(1) == Span(320, 1520)
    assert (grid.span(0), grid.span(1)) == (Span(0, 600), Span(600, 1240))
