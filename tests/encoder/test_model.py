import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import InvalidArgument
from embedsvc.types import Ask, Frames, OutputSpec, Pooling, Windowing
from tests.encoder.reference import reference, save, states_of, utterance, whole

EXACT = 5e-5
"""Largest difference from the reference, in any dimension of any frame."""

ALIKE = 2e-5
"""Largest effect of the other utterances of a batch; the bound that `Encoder` states."""

SHAPES = {
    "default": {},
    "one head": {"num_attention_heads": 1},
    "heads of an odd size": {"num_attention_heads": 16, "left_max_position_embeddings": 3},
    "heads of a size that the kernels take": {
        "hidden_size": 96,
        "output_hidden_size": 96,
        "num_attention_heads": 2,
    },
    "the published kernel and distances": {
        "conv_depthwise_kernel_size": 31,
        "left_max_position_embeddings": 64,
        "right_max_position_embeddings": 8,
    },
    "kernel and distances of one": {
        "conv_depthwise_kernel_size": 1,
        "left_max_position_embeddings": 0,
        "right_max_position_embeddings": 0,
    },
    "more ahead than behind": {
        "left_max_position_embeddings": 2,
        "right_max_position_embeddings": 40,
    },
    "gelu": {"hidden_act": "gelu"},
    "relu and another epsilon": {"hidden_act": "relu", "layer_norm_eps": 1e-3},
    "no positions": {"position_embeddings_type": None},
    "relative positions": {"position_embeddings_type": "relative"},
    "rotary positions": {"position_embeddings_type": "rotary", "rotary_embedding_base": 500},
}

REAL = {
    "hidden_size": 1024,
    "output_hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_depthwise_kernel_size": 31,
    "left_max_position_embeddings": 64,
    "right_max_position_embeddings": 8,
}
"""The published model of 580 M parameters."""


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES.keys())
def test_every_hidden_state_is_that_of_the_reference(changes: Any, tmp_path: Path) -> None:
    model = reference(**changes)
    ours = Encoder.load(resolve(str(save(model, tmp_path))))
    utterances = [utterance(length) for length in (1, 2, 37, 129, 255, 256, 257, 300)]
    answers = ours.encode(utterances, [whole(each, 0, 1, 2, 3) for each in utterances])
    for each, answer in zip(utterances, answers, strict=True):
        for layer, states in enumerate(states_of(model, each)):
            np.testing.assert_allclose(answer.frames[layer], states, rtol=0, atol=EXACT)


@settings(max_examples=20, deadline=None)
@given(length=st.integers(1, 300), seed=st.integers(0, 9))
def test_any_length_is_that_of_the_reference(
    model: Any, encoder: Encoder, length: int, seed: int
) -> None:
    frames = utterance(length, seed)
    answer = encoder.encode([frames], [whole(frames, 3)])[0]
    np.testing.assert_allclose(answer.frames[3], states_of(model, frames)[3], rtol=0, atol=EXACT)


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 90), min_size=1, max_size=8), order=st.randoms())
def test_neither_order_nor_mates_change_an_utterance(
    encoder: Encoder, lengths: list[int], order: random.Random
) -> None:
    utterances = [utterance(length, seed) for seed, length in enumerate(lengths)]
    places = list(range(len(utterances)))
    order.shuffle(places)
    together = encoder.encode(
        [utterances[place] for place in places], [whole(utterances[place], 3) for place in places]
    )
    for place, answer in zip(places, together, strict=True):
        alone = encoder.encode([utterances[place]], [whole(utterances[place], 3)])[0]
        np.testing.assert_allclose(answer.frames[3], alone.frames[3], rtol=0, atol=ALIKE)


def test_a_frame_hears_only_its_own_utterance(encoder: Encoder) -> None:
    frames, mate = utterance(40), utterance(30, seed=1)
    loud = Frames(mate.features * 50)
    asks = [whole(frames, 3), Ask(())]
    quiet_answer = encoder.encode([frames, mate], asks)[0]
    loud_answer = encoder.encode([frames, loud], asks)[0]
    np.testing.assert_array_equal(quiet_answer.frames[3], loud_answer.frames[3])


def test_an_early_exit_gives_the_same_states(encoder: Encoder) -> None:
    frames = utterance(50)
    deep = encoder.encode([frames], [whole(frames, 1, 3)])[0]
    early = encoder.encode([frames], [whole(frames, 1)])[0]
    np.testing.assert_array_equal(deep.frames[1], early.frames[1])
    assert list(early.frames) == [1]


def test_a_shallow_ask_beside_a_deep_one_gets_its_own_layer_only(encoder: Encoder) -> None:
    shallow, deep = utterance(20), utterance(30)
    answers = encoder.encode([shallow, deep], [whole(shallow, 0), whole(deep, 3)])
    assert [list(answer.frames) for answer in answers] == [[0], [3]]
    assert [list(answer.moments) for answer in answers] == [[0], [3]]


def test_only_the_range_to_keep_is_kept(encoder: Encoder) -> None:
    frames = utterance(50)
    everything = encoder.encode([frames], [whole(frames, 2)])[0].frames[2]
    part = encoder.encode([frames], [Ask((2,), keep=(10, 30))])[0]
    np.testing.assert_array_equal(part.frames[2], everything[10:30])
    assert part.frames[2].base is None
    assert part.moments[2] == ()


def test_moments_are_those_of_the_frames_of_each_run(encoder: Encoder) -> None:
    frames = utterance(60)
    runs = ((0, 60), (5, 6), (20, 50))
    answer = encoder.encode([frames], [Ask((2,), (0, 60), runs)])[0]
    for (begin, end), moments in zip(runs, answer.moments[2], strict=True):
        run = answer.frames[2][begin:end].astype(np.float64)
        assert moments.count == end - begin
        np.testing.assert_allclose(moments.mean, run.mean(0), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(moments.squares, run.var(0) * len(run), rtol=1e-6, atol=1e-7)
        np.testing.assert_array_equal(moments.peak, run.max(0).astype(np.float32))
        assert moments.mean.dtype == moments.squares.dtype == moments.peak.dtype == np.float32


def test_nothing_asked_is_nothing_answered(encoder: Encoder) -> None:
    assert encoder.encode([], []) == []
    answer = encoder.encode([utterance(3)], [Ask(())])[0]
    assert (answer.frames, answer.moments) == ({}, {})


@pytest.mark.parametrize(
    ("frames", "asks"),
    [
        (utterance(5), []),
        (utterance(5), [Ask((4,))]),
        (utterance(5), [Ask((-1,))]),
        (utterance(5), [Ask((1,), keep=(0, 6))]),
        (utterance(5), [Ask((1,), runs=((3, 3),))]),
        (utterance(5), [Ask((1,), runs=((-1, 3),))]),
        (Frames(np.zeros((5, 80), np.float32)), [Ask((1,))]),
        (Frames(np.zeros((0, 160), np.float32)), [Ask((1,))]),
    ],
)
def test_an_ask_that_makes_no_sense_is_a_bug_of_the_caller(
    encoder: Encoder, frames: Any, asks: list[Ask]
) -> None:
    with pytest.raises(ValueError, match=r"."):
        encoder.encode([frames], asks)


@pytest.mark.parametrize(("layer", "absolute"), [(0, 0), (3, 3), (-1, 3), (-4, 0), (None, 2)])
def test_layers_count_from_either_end(encoder: Encoder, layer: int, absolute: int) -> None:
    assert encoder.resolve_layer(layer) == absolute


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_out_of_range_names_the_range(encoder: Encoder, layer: int) -> None:
    with pytest.raises(InvalidArgument, match="from -4 to 3") as caught:
        encoder.resolve_layer(layer)
    assert caught.value.field == "layer"


def test_a_spec_left_open_takes_the_defaults(encoder: Encoder) -> None:
    plan = encoder.plan(OutputSpec(), Windowing())
    assert (plan.layer, plan.pooling, plan.normalize) == (2, Pooling.MEAN, True)
    assert (plan.space.dim, plan.space.projection, plan.space.model) == (48, "", "small")


def test_parameters_are_those_of_the_reference_but_for_its_training_mask(
    model: Any, encoder: Encoder
) -> None:
    assert encoder.parameters == sum(each.numel() for each in model.parameters()) - encoder.dim


def test_frames_are_normalized_only_when_asked(encoder: Encoder) -> None:
    frames = np.full((3, 48), 2, np.float32)
    kept = encoder.plan(OutputSpec(pooling=Pooling.NONE), Windowing())
    unit = encoder.plan(OutputSpec(pooling=Pooling.NONE, normalize=True), Windowing())
    np.testing.assert_array_equal(encoder.finish_frames(kept, frames), frames)
    lengths = np.linalg.norm(encoder.finish_frames(unit, frames), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)
    assert kept.space.fingerprint != unit.space.fingerprint


def test_frames_have_no_projection(encoder: Encoder) -> None:
    with pytest.raises(InvalidArgument, match="without pooling") as caught:
        encoder.plan(OutputSpec(pooling=Pooling.NONE, projection="whitened"), Windowing())
    assert caught.value.field == "projection"


def test_the_bundled_model_gives_projected_unit_vectors() -> None:
    mini = Encoder.load(resolve("mini"))
    mini.warm_up()
    plan = mini.plan(OutputSpec(), Windowing())
    layer = mini.defaults.layer
    assert (plan.layer, plan.pooling) == (layer, Pooling.MEAN_STD)
    assert plan.space.projection.startswith(f"{mini.defaults.projection}:")
    moments = mini.encode([utterance(80)], [Ask((layer,), runs=((0, 80),))])[0].moments[layer][0]
    vector = mini.finish(plan, moments)
    assert vector.shape == (plan.space.dim,)
    assert len(vector) < 2 * mini.dim
    np.testing.assert_allclose(np.linalg.norm(vector), 1, rtol=1e-6)
    plain = mini.finish(mini.plan(OutputSpec(projection="", normalize=False), Windowing()), moments)
    assert plain.shape == (2 * mini.dim,)
    assert plan.projection is not None
    np.testing.assert_allclose(
        plan.projection(plain) / np.linalg.norm(plan.projection(plain)), vector, atol=1e-6
    )


def test_the_default_projection_gives_way_where_it_does_not_fit() -> None:
    mini = Encoder.load(resolve("mini"))
    assert mini.plan(OutputSpec(pooling=Pooling.NONE), Windowing()).projection is None
    assert mini.plan(OutputSpec(pooling=Pooling.MAX), Windowing()).space.dim == mini.dim
    assert mini.plan(OutputSpec(layer=1), Windowing()).projection is None
    assert mini.plan(OutputSpec(pooling=Pooling.MEAN), Windowing()).projection is not None
    with pytest.raises(InvalidArgument, match=f"there are: .*`{mini.defaults.projection}`"):
        mini.plan(OutputSpec(projection="other"), Windowing())


GROWTH = """
import resource, sys
import numpy as np
from embedsvc.encoder import Encoder, resolve
from embedsvc.types import Ask, Frames
encoder = Encoder.load(resolve(sys.argv[1]), threads=1)
encoder.warm_up()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
frames = Frames(np.zeros((3000, 160), np.float32))
encoder.encode([frames], [Ask((3,), runs=((0, 3000),))])
sys.stdout.write(str((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024))
"""


def test_a_minute_of_speech_needs_far_less_than_a_square_of_scores(tmp_path: Path) -> None:
    model = reference(num_attention_heads=12)
    save(model, tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 3000 * 3000 * 12 * 4 / 4


@pytest.mark.slow
def test_the_real_size_is_exact(tmp_path: Path) -> None:
    model = reference(**REAL)
    ours = Encoder.load(resolve(str(save(model, tmp_path))))
    utterances = [utterance(length) for length in (1, 50, 300)]
    answers = ours.encode(utterances, [whole(each, *range(25)) for each in utterances])
    for each, answer in zip(utterances, answers, strict=True):
        for layer, states in enumerate(states_of(model, each)):
            np.testing.assert_allclose(answer.frames[layer], states, rtol=0, atol=EXACT)
