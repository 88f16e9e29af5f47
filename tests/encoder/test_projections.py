import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.types import Floats, Moments, OutputSpec, Pooling, Windowing

Load = Callable[..., Encoder]

MEAN = np.linspace(-1, 1, 48, dtype=np.float32)
SCALE = np.linspace(1, 3, 48, dtype=np.float32)
TENSORS = {"near/layer1/mean/mean": MEAN, "near/layer1/mean/scale": SCALE}
MATRIX = np.random.default_rng(0).standard_normal((48, 5)).astype(np.float32)
NARROW = TENSORS | {"near/layer1/mean/matrix": MATRIX}
CHOICE = {"layer": 1, "pooling": "mean", "projection": "near"}


@pytest.fixture
def load(directory: Path, tmp_path: Path) -> Load:
    """The small checkpoint with projections and defaults."""

    def loaded(tensors: dict[str, Floats] | None = None, defaults: Any = None) -> Encoder:
        shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
        if tensors is not None:
            save_file(tensors, tmp_path / "projections.safetensors")
        if defaults is not None:
            (tmp_path / "embedsvc.json").write_text(json.dumps(defaults))
        return Encoder.load(resolve(str(tmp_path)))

    return loaded


def test_a_projection_moves_and_stretches(load: Load) -> None:
    encoder = load(TENSORS, CHOICE)
    ones = np.ones(48, np.float32)
    plan = encoder.plan(OutputSpec(normalize=False), Windowing())
    vector = encoder.finish(plan, Moments(2, ones, ones, ones))
    np.testing.assert_allclose(vector, (1 - MEAN) * SCALE, rtol=1e-6)


def test_a_matrix_takes_what_was_moved_and_stretched_to_fewer_dimensions(load: Load) -> None:
    encoder = load(NARROW, CHOICE)
    ones = np.ones(48, np.float32)
    plan = encoder.plan(OutputSpec(normalize=False), Windowing())
    vector = encoder.finish(plan, Moments(2, ones, ones, ones))
    assert vector.dtype == np.float32
    assert vector.shape == (plan.space.dim,) == (5,)
    np.testing.assert_allclose(vector, ((1 - MEAN) * SCALE) @ MATRIX, rtol=1e-4, atol=1e-5)
    unit = encoder.finish(encoder.plan(OutputSpec(), Windowing()), Moments(2, ones, ones, ones))
    np.testing.assert_allclose(unit, vector / np.linalg.norm(vector), rtol=1e-5)


def test_a_matrix_in_half_precision_is_read_in_single(load: Load) -> None:
    half = {name: tensor.astype(np.float16) for name, tensor in NARROW.items()}
    matrix = load(half, CHOICE).projections.find("near", 1, Pooling.MEAN).matrix
    assert matrix is not None
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix, MATRIX, rtol=1e-3)


def test_a_space_has_the_dimensions_of_its_projection_only(load: Load) -> None:
    encoder = load(NARROW, CHOICE)
    assert encoder.plan(OutputSpec(projection="near"), Windowing()).space.dim == 5
    assert encoder.plan(OutputSpec(projection=""), Windowing()).space.dim == 48
    assert encoder.plan(OutputSpec(pooling=Pooling.MEAN_STD), Windowing()).space.dim == 96


@pytest.mark.parametrize("part", ["mean", "scale", "matrix"])
def test_every_tensor_of_a_projection_is_in_its_tag(load: Load, part: str) -> None:
    changed = NARROW | {f"near/layer1/mean/{part}": NARROW[f"near/layer1/mean/{part}"] + 1}
    tags = {
        load(tensors, CHOICE).projections.find("near", 1, Pooling.MEAN).tag
        for tensors in (TENSORS, NARROW, changed)
    }
    assert len(tags) == 3


def test_a_space_names_the_projection_and_its_values(load: Load) -> None:
    first = load(TENSORS, CHOICE).plan(OutputSpec(), Windowing()).space
    changed = TENSORS | {"near/layer1/mean/mean": MEAN + 1}
    second = load(changed, CHOICE).plan(OutputSpec(), Windowing()).space
    assert first.projection.startswith("near:")
    assert len(first.projection) == len("near:") + 12
    assert first.projection != second.projection
    assert first.fingerprint != second.fingerprint


def test_the_default_projection_is_used_only_where_it_has_tensors(load: Load) -> None:
    encoder = load(TENSORS, CHOICE)
    assert encoder.plan(OutputSpec(layer=2), Windowing()).projection is None
    assert encoder.plan(OutputSpec(pooling=Pooling.MAX), Windowing()).projection is None
    assert encoder.plan(OutputSpec(projection=""), Windowing()).projection is None
    assert encoder.plan(OutputSpec(layer=1), Windowing()).projection is not None


@pytest.mark.parametrize(
    "spec", [OutputSpec(projection="far"), OutputSpec(layer=2, projection="near")]
)
def test_an_unknown_projection_lists_those_there_are(load: Load, spec: OutputSpec) -> None:
    encoder = load(TENSORS, CHOICE)
    with pytest.raises(InvalidArgument, match="there are: `near`") as caught:
        encoder.plan(spec, Windowing())
    assert caught.value.field == "projection"


@pytest.mark.parametrize(
    "tensors",
    [
        {"near/layer1/mean/mean": MEAN},
        {"near/layer1/mean/scale": SCALE},
        TENSORS | {"near/layer1/mean/scale": SCALE[:5]},
        TENSORS | {"near/layer1/mean/scale": SCALE * np.float32(np.nan)},
        {"near/layer9/mean/mean": MEAN, "near/layer9/mean/scale": SCALE},
        {"near/layer1/none/mean": MEAN, "near/layer1/none/scale": SCALE},
        {"near/layer1/mean_std/mean": MEAN, "near/layer1/mean_std/scale": SCALE},
        TENSORS | {"note": MEAN},
        {"near/layer1/mean/matrix": MATRIX},
        {"near/layer1/mean/mean": MEAN, "near/layer1/mean/matrix": MATRIX},
        TENSORS | {"near/layer1/mean/matrix": MEAN},
        TENSORS | {"near/layer1/mean/matrix": MATRIX.T.copy()},
        TENSORS | {"near/layer1/mean/matrix": MATRIX[:, :0]},
        TENSORS | {"near/layer1/mean/matrix": np.ones((48, 49), np.float32)},
        TENSORS | {"near/layer1/mean/matrix": MATRIX * np.float32(np.inf)},
        TENSORS | {"near/layer1/max/matrix": MATRIX},
    ],
)
def test_a_projection_that_does_not_fit_is_refused(load: Load, tensors: Any) -> None:
    with pytest.raises(FailedPrecondition, match=r"projections\.safetensors") as caught:
        load(tensors)
    assert caught.value.field == "model"


def test_a_damaged_projection_file_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "projections.safetensors").write_bytes(b"\1\0")
    with pytest.raises(FailedPrecondition, match="truncated or damaged"):
        load()


@pytest.mark.parametrize(
    "defaults",
    [
        {"layer": 4},
        {"layer": "4"},
        {"layer": True},
        {"pooling": "none"},
        {"pooling": 3},
        {"projection": "far"},
        {"projection": None},
        [],
    ],
)
def test_defaults_that_can_not_be_served_are_refused(load: Load, defaults: Any) -> None:
    with pytest.raises(FailedPrecondition, match=r"embedsvc\.json"):
        load(TENSORS, defaults)


def test_a_model_without_a_choice_gives_the_mean_of_the_layer_two_thirds_up(load: Load) -> None:
    defaults = load().defaults
    assert (defaults.layer, defaults.pooling, defaults.projection) == (2, Pooling.MEAN, "")
