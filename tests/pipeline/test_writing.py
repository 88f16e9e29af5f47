"""Labels of windows are those of the whole recording, whatever the head."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.audio import windows
from embedsvc.encoder import PhoneHead
from embedsvc.encoder.ctc import Body, CtcHead
from embedsvc.encoder.ctc.adapters import Adapter, Strided
from embedsvc.encoder.ctc.heads import Projection
from embedsvc.encoder.ctc.letters import LetterHead, Shape
from embedsvc.encoder.grid import CONVOLUTIONS, FRAMES, Grid
from embedsvc.encoder.linear import Linear
from embedsvc.pipeline.takers import Together
from embedsvc.pipeline.writing import Keeper, Labels
from embedsvc.timing import FRAME, SAMPLE_RATE, frame_count
from embedsvc.types import Encoded, Floats, HeadInfo, HeadKind, Vocabulary, Window, Windowing

WIDTH = 4
TEXTS = ("", "a", "b")
WINDOWING = Windowing(2 * SAMPLE_RATE, SAMPLE_RATE // 2)


def head(stride: int, grid: Grid = FRAMES) -> CtcHead:
    """A head of random numbers, behind a convolution if it has a stride; one of letters with 0."""
    body = Body("", grid)
    random = np.random.default_rng(stride)
    if stride == 0:
        info = HeadInfo("letters", HeadKind.TEXT, (), len(TEXTS), 1 / 50, "entropy/v1")
        return CtcHead(info, Vocabulary(TEXTS, 0), 2, grid, letters(random), body)
    weight = random.standard_normal((len(TEXTS), WIDTH)).astype(np.float32)
    bias = np.zeros(len(TEXTS), np.float32)
    info = HeadInfo("any", HeadKind.TEXT, (), len(TEXTS), stride / 50, "entropy/v1")
    vocabulary = Vocabulary(TEXTS, 0)
    if stride == 1:
        return CtcHead(info, vocabulary, 2, grid, PhoneHead(2, TEXTS, weight, bias), body)
    kernel = random.standard_normal((2 * WIDTH, WIDTH, 3)).astype(np.float32)
    part = Strided(torch.from_numpy(kernel), torch.zeros(2 * WIDTH), stride, padding=1)
    linear = Linear(torch.from_numpy(weight), torch.from_numpy(bias))
    projection = Projection(linear, Adapter((), (part,)))
    return CtcHead(info, vocabulary, 2, grid.strided(3, stride, 1), projection, body)


def letters(random: np.random.Generator) -> LetterHead:
    """It hears ten frames to either side."""
    shape = Shape(WIDTH, 6, blocks=2, kernel=11, labels=len(TEXTS))
    values = {name: random.standard_normal(size) for name, size in shape.tensors().items()}
    tensors = {name: torch.from_numpy(each.astype(np.float32)) for name, each in values.items()}
    return LetterHead(shape, tensors)


def heard(window: Window, keep: tuple[int, int] | None, states: Floats) -> Encoded:
    """What an encoder that knows every frame beforehand gives for a window."""
    assert keep is not None
    first = window.span.start // FRAME
    return Encoded({2: states[first + keep[0] : first + keep[1]]}, {})


@pytest.mark.parametrize("grid", [FRAMES, CONVOLUTIONS], ids=["features", "samples"])
@pytest.mark.parametrize("stride", [0, 1, 2, 3])
@settings(max_examples=15, deadline=None)
@given(st.integers(600, 20 * SAMPLE_RATE), st.integers(0, 9))
def test_labels_of_cores_join_to_those_of_the_whole(
    grid: Grid, stride: int, samples: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    sound = random.standard_normal(samples).astype(np.float32)
    states = random.standard_normal((grid.count(samples), WIDTH)).astype(np.float32)
    labels = Labels(head(stride, grid))
    parts = []
    for window in windows(sound, WINDOWING):
        log_probs = labels.take(window, heard(window, labels.ask(window).keep, states))
        parts.append(log_probs)
        told = labels.active(window, np.ones(len(window.core) // FRAME, np.bool_))
        assert abs(len(told) - len(log_probs)) <= 1
        assert told.all()
    whole = head(stride, grid)(states)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert labels.frame_count == len(states)
    assert labels.samples == samples


def test_takers_with_other_ranges_each_get_their_own() -> None:
    sound = np.zeros(9 * SAMPLE_RATE, np.float32)
    shape = frame_count(len(sound)), WIDTH
    states = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    cores, whole = Keeper(head(1)), Keeper(head(2))
    both = Together(cores, whole)
    for window in windows(sound, WINDOWING):
        asked = both.ask(window)
        assert asked.layers == (2,)
        both.add(window, heard(window, asked.keep, states))
    assert cores.frame_count == whole.frame_count == len(states)
    for keeper, stride in ((cores, 1), (whole, 2)):
        alone = Keeper(head(stride))
        for window in windows(sound, WINDOWING):
            alone.add(window, heard(window, alone.ask(window).keep, states))
        assert keeper.aligned("ab") == alone.aligned("ab")
