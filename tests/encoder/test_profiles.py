import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedsvc.encoder import (
    Basis,
    Encoder,
    add_projections,
    read_projection_file,
    resolve,
    write_projections,
)
from embedsvc.encoder.config import EncoderConfig, read_config
from embedsvc.encoder.profiles import read_profiles
from embedsvc.encoder.projections import Projections
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.types import OutputSpec, Pooling, Windowing

Load = Callable[..., Encoder]

SOUND = {"layer": 1, "pooling": "mean_std", "about": "how it sounds"}


@pytest.fixture
def load(directory: Path, tmp_path: Path) -> Load:
    """The small checkpoint with profiles."""

    def loaded(profiles: Any) -> Encoder:
        shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
        (tmp_path / "embedsvc.json").write_text(json.dumps({"profiles": profiles}))
        return Encoder.load(resolve(str(tmp_path)))

    return loaded


def test_a_profile_stands_for_what_it_names(load: Load) -> None:
    encoder = load({"phonetic": SOUND})
    by_name = encoder.plan(OutputSpec(profile="phonetic"), Windowing())
    spelled = encoder.plan(OutputSpec("", 1, Pooling.MEAN_STD, ""), Windowing())
    assert by_name == spelled
    assert encoder.profiles["phonetic"].about == "how it sounds"
    assert encoder.profiles["phonetic"].basis is Basis.MEASURED
    long = encoder.plan(OutputSpec(profile="phonetic", normalize=False), Windowing())
    assert not long.normalize


@pytest.mark.parametrize(
    "spec",
    [
        OutputSpec(profile="phonetic", layer=0),
        OutputSpec(profile="phonetic", pooling=Pooling.MEAN),
        OutputSpec(profile="phonetic", projection=""),
    ],
)
def test_a_profile_excludes_choices_of_ones_own(load: Load, spec: OutputSpec) -> None:
    with pytest.raises(InvalidArgument, match="must be absent") as caught:
        load({"phonetic": SOUND}).plan(spec, Windowing())
    assert caught.value.field == "profile"


def test_an_unknown_profile_is_refused_with_those_there_are(load: Load) -> None:
    encoder = load({"phonetic": SOUND, "language": SOUND})
    with pytest.raises(InvalidArgument, match=r"there are: `language`, `phonetic`\), but is 'x'"):
        encoder.plan(OutputSpec(profile="x"), Windowing())


@pytest.mark.parametrize(
    "profiles",
    [
        [],
        {"Loud": SOUND},
        {"a": 1},
        {"a": SOUND | {"layer": 99}},
        {"a": SOUND | {"layer": True}},
        {"a": SOUND | {"pooling": "none"}},
        {"a": SOUND | {"projection": "missing"}},
        {"a": SOUND | {"basis": "hearsay"}},
        {"a": {"layer": 1}},
    ],
)
def test_profiles_that_can_not_be_served_are_refused(load: Load, profiles: Any) -> None:
    with pytest.raises(FailedPrecondition, match=r"embedsvc\.json"):
        load(profiles)


def test_large_encoders_without_profiles_have_those_of_the_literature(
    directory: Path, tmp_path: Path
) -> None:
    small = read_config(directory)
    large = EncoderConfig(**{**vars(small), "num_hidden_layers": 24, "hidden_size": 1024})
    found = read_profiles(tmp_path, large, Projections({}))
    assert set(found) == {"semantic", "phonetic", "speaker", "language"}
    assert {profile.basis for profile in found.values()} == {Basis.LITERATURE}
    assert read_profiles(tmp_path, small, Projections({})) == {}


def test_every_profile_of_the_bundled_model_can_be_served() -> None:
    encoder = Encoder.load(resolve("mini"))
    assert set(encoder.profiles) == {"semantic", "phonetic", "speaker", "language"}
    for name, profile in encoder.profiles.items():
        plan = encoder.plan(OutputSpec(profile=name), Windowing())
        assert (plan.layer, plan.pooling) == (profile.layer, profile.pooling)
        assert profile.about


def test_projections_of_a_file_are_added_to_those_of_the_model(tmp_path: Path) -> None:
    encoder = Encoder.load(resolve("mini"))
    path, random = tmp_path / "more.safetensors", np.random.default_rng(0)
    tensors = {
        "mine/layer6/mean/mean": np.zeros(192, np.float32),
        "mine/layer6/mean/scale": np.ones(192, np.float32),
        "mine/layer6/mean/matrix": random.standard_normal((192, 7)).astype(np.float32),
    }
    write_projections(path, tensors)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    more = read_projection_file(path, encoder.dim, encoder.layers)
    richer = encoder.with_projections(more)
    assert set(richer.projections.each) > set(encoder.projections.each)
    plan = richer.plan(OutputSpec("", 6, Pooling.MEAN, "mine"), Windowing())
    assert plan.space.dim == 7
    with pytest.raises(InvalidArgument, match="new to the model, but it has 'mine'"):
        richer.with_projections(more)


def test_a_file_for_another_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "more.safetensors"
    flat = np.zeros(64, np.float32)
    write_projections(path, {"mine/layer1/mean/mean": flat, "mine/layer1/mean/scale": flat})
    with pytest.raises(FailedPrecondition, match=r"more\.safetensors has mine/layer1/mean/mean"):
        read_projection_file(path, 192, 6)
    with pytest.raises(FailedPrecondition, match="is not there"):
        read_projection_file(tmp_path / "none.safetensors", 192, 6)


def test_projections_are_put_into_a_checkpoint(directory: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(directory, model)
    zeros, ones = np.zeros(48, np.float32), np.ones(48, np.float32)
    for number, name in enumerate(("near", "far")):
        tensors = {f"{name}/layer1/mean/mean": zeros + number, f"{name}/layer1/mean/scale": ones}
        write_projections(tmp_path / name, tensors)
    assert add_projections(model, [tmp_path / "near"], 48, 2) == ("near",)
    assert add_projections(model, [tmp_path / "far"], 48, 2) == ("far", "near")
    narrow = np.eye(48, 3, dtype=np.float32)
    again = {"near/layer1/mean/mean": ones, "near/layer1/mean/scale": ones}
    write_projections(tmp_path / "near", again | {"near/layer1/mean/matrix": narrow})
    add_projections(model, [tmp_path / "near"], 48, 2)
    found = Encoder.load(resolve(str(model))).projections
    near = found.find("near", 1, Pooling.MEAN)
    np.testing.assert_array_equal(near.mean, ones)
    assert (near.dim, found.find("far", 1, Pooling.MEAN).dim) == (3, 48)
    kept = (model / "projections.safetensors").read_bytes()
    (tmp_path / "bad").write_bytes(b"no tensors")
    with pytest.raises(FailedPrecondition):
        add_projections(model, [tmp_path / "bad"], 48, 2)
    assert (model / "projections.safetensors").read_bytes() == kept
