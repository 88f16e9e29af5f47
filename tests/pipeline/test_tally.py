from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.audio import windows
from embedsvc.errors import MessageTooLarge
from embedsvc.pipeline.tally import Tally
from embedsvc.timing import FRAME, MIN_SAMPLES, SAMPLE_RATE, frame_count
from embedsvc.types import Ask, Encoded, Floats, Moments, Window, Windowing

SHORT = Windowing(length=SAMPLE_RATE, context=SAMPLE_RATE // 5)


def noise(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(count, dtype=np.float32)


def states(samples: Floats, layer: int) -> Floats:
    """What an encoder would say whose frames know only their own 20 ms: (T, 4)."""
    count = frame_count(len(samples))
    rows = samples[: count * FRAME].reshape(count, FRAME)[:, :4]
    return rows * np.float32(layer + 1)


def moments(run: Floats) -> Moments:
    wide = run.astype(np.float64)
    squares = (wide.var(0) * len(run)).astype(np.float32)
    return Moments(len(run), wide.mean(0).astype(np.float32), squares, run.max(0))


def encoded(window: Window, ask: Ask) -> Encoded:
    found = {layer: states(window.samples, layer) for layer in ask.layers}
    first, end = ask.keep or (0, 0)
    return Encoded(
        frames={layer: run[first:end] for layer, run in found.items()},
        moments={
            layer: tuple(moments(run[start:end]) for start, end in ask.runs)
            for layer, run in found.items()
        },
    )


def filled(tally: Tally, found: Sequence[Window]) -> Tally:
    for window in found:
        tally.add(window, encoded(window, tally.ask(window)))
    return tally


def assert_same(found: Moments, expected: Moments) -> None:
    assert found.count == expected.count
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.squares, expected.squares, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found.peak, expected.peak)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(MIN_SAMPLES, 6 * SAMPLE_RATE),
    context=st.integers(SAMPLE_RATE // 10, SAMPLE_RATE),
    cell=st.none() | st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_the_windows_of_a_recording_joined_are_one_pass(
    count: int, context: int, cell: int | None, seed: int
) -> None:
    sound = noise(count, seed)
    found = windows(sound, Windowing(SAMPLE_RATE, context))
    tally = filled(Tally([2, 0, 2], frame_layers={0, 2}, cell=cell), found)
    assert tally.samples == count
    assert tally.frame_count == frame_count(count)
    for layer in (0, 2):
        whole = states(sound, layer)
        np.testing.assert_array_equal(tally.frames(layer), whole)
        assert_same(tally.whole(layer), moments(whole))
        size = cell or len(whole)
        pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
        for merged, piece in zip(tally.cells(layer), pieces, strict=True):
            assert_same(merged, moments(piece))


@settings(max_examples=30, deadline=None)
@given(count=st.integers(MIN_SAMPLES, 4 * SAMPLE_RATE), cell=st.integers(1, 60))
def test_the_runs_asked_of_a_window_are_its_core_cut_at_the_cells(count: int, cell: int) -> None:
    tally = Tally([1], frame_layers={1}, cell=cell)
    for window in windows(noise(count), SHORT):
        ask = tally.ask(window)
        assert ask.layers == (1,)
        assert ask.keep == (ask.runs[0][0], ask.runs[-1][1])
        for (_, end), (start, _) in zip(ask.runs, ask.runs[1:], strict=False):
            assert end == start
            assert (window.span.start // FRAME + start) % cell == 0
        assert all(0 < end - start <= cell for start, end in ask.runs)


def test_frames_are_kept_only_of_the_layers_where_they_are_wanted() -> None:
    (window,) = windows(noise(SAMPLE_RATE), SHORT)
    assert Tally([3, 1, 3]).ask(window) == Ask((1, 3), keep=None, runs=((0, 49),))
    assert Tally([3, 1], frame_layers={1}).ask(window).keep == (0, 49)


def test_more_frames_than_the_answer_may_have_are_refused_at_once() -> None:
    found = windows(noise(5 * SAMPLE_RATE), SHORT)
    tally = Tally([0], frame_layers={0}, frame_limit=100)
    with pytest.raises(MessageTooLarge) as caught:
        filled(tally, found)
    assert tally.samples < 4 * SAMPLE_RATE
    assert caught.value.facts == {"max_frames": "100"}
    assert caught.value.field == "options.outputs"


def test_a_limit_of_frames_does_not_bound_what_is_pooled() -> None:
    found = windows(noise(5 * SAMPLE_RATE), SHORT)
    assert filled(Tally([0], frame_limit=100), found).frame_count == 249
