"""A network in integers is nearly the exact one, with kernels and without."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embedsvc.encoder import Encoder, fidelity, integers, native, resolve
from embedsvc.encoder.integers import LARGEST_DEPTH, weights_of
from embedsvc.encoder.linear import Linear
from embedsvc.errors import FailedPrecondition
from embedsvc.pipeline import loading
from embedsvc.types import Floats, Frames, Precision
from tests.encoder.reference import reference, save, utterance, whole


@contextmanager
def without_kernels() -> Iterator[None]:
    """Torch alone, as on a processor that can not run them."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (native, native.kernels):
            patch.setattr(module, "library", lambda: None)
        yield


@pytest.fixture(scope="module")
def mini() -> Encoder:
    return loading.load("mini")


@pytest.fixture(scope="module")
def reduced(mini: Encoder) -> Encoder:
    return mini.at(Precision.INT8)


@pytest.fixture(scope="module")
def plain() -> Encoder:
    """`mini` in integers by torch alone."""
    with without_kernels():
        return loading.load("mini").at(Precision.INT8)


def last_states(encoder: Encoder, *utterances: Frames) -> list[Floats]:
    answers = encoder.encode(utterances, [whole(each, encoder.layers) for each in utterances])
    return [answer.frames[encoder.layers] for answer in answers]


def cosines(one: Floats, two: Floats) -> Floats:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    found: Floats = (one * two).sum(axis=1) / lengths
    return found


def test_mini_is_nearly_the_same_in_integers(mini: Encoder, reduced: Encoder) -> None:
    found = fidelity(mini, reduced, loading.probe())
    assert found.is_enough
    assert 0.999 < found.least_frame <= found.mean_frame < 1.0


def test_torch_alone_gives_what_the_kernels_give(reduced: Encoder, plain: Encoder) -> None:
    probe = loading.probe()[:3]
    with without_kernels():
        expected = last_states(plain, *probe)
    for one, two in zip(last_states(reduced, *probe), expected, strict=True):
        assert cosines(one, two).min() > 0.999


def test_integers_that_torch_made_are_of_use_to_the_kernels_too(
    mini: Encoder, plain: Encoder
) -> None:
    frames = loading.probe()[0]
    (exact,), (found,) = last_states(mini, frames), last_states(plain, frames)
    assert cosines(exact, found).min() > 0.999


def test_batch_mates_do_not_change_a_bit(reduced: Encoder) -> None:
    several = [utterance(length) for length in (7, 40, 3, 40, 121)]
    together = last_states(reduced, *several)
    for frames, joint in zip(several, together, strict=True):
        (alone,) = last_states(reduced, frames)
        np.testing.assert_array_equal(alone, joint)


@pytest.mark.parametrize("change", [
    {"hidden_act": "gelu"}, {"position_embeddings_type": "rotary"},
    {"position_embeddings_type": "relative"}, {"position_embeddings_type": None},
])  # fmt: skip
def test_models_of_another_kind_stay_exact(change: dict[str, Any], tmp_path: Path) -> None:
    other = Encoder.load(resolve(str(save(reference(**change), tmp_path / "other"))))
    with pytest.raises(FailedPrecondition, match="int8 is for models with"):
        other.at(Precision.INT8)


@pytest.mark.parametrize("sizes", [
    {"hidden_size": 96, "num_attention_heads": 2, "intermediate_size": 70},
    {"hidden_size": 36, "num_attention_heads": 3, "intermediate_size": 130},
])  # fmt: skip
def test_sizes_need_not_fit_the_kernels(sizes: dict[str, Any], tmp_path: Path) -> None:
    model = reference(**sizes, output_hidden_size=sizes["hidden_size"])
    exact = Encoder.load(resolve(str(save(model, tmp_path / "odd"))))
    frames = utterance(90)
    (one,), (two,) = last_states(exact, frames), last_states(exact.at(Precision.INT8), frames)
    assert cosines(one, two).mean() > 0.998


def test_sums_that_could_overflow_are_refused() -> None:
    with pytest.raises(FailedPrecondition, match="at most 65536 inputs, not 65537"):
        weights_of(Linear(torch.zeros(1, LARGEST_DEPTH + 1)))


def test_the_largest_depth_does_not_overflow() -> None:
    weights = weights_of(Linear(torch.ones(2, LARGEST_DEPTH)))
    states = torch.ones(1, LARGEST_DEPTH)
    states[0, 0] = 0.0
    found = integers.multiply(integers.quantize(states), weights, torch.empty(1, 2))
    torch.testing.assert_close(found, torch.full((1, 2), LARGEST_DEPTH - 1.0))
