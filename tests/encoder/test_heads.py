import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from embedsvc.encoder import PhoneHead, load_phone_head, resolve
from embedsvc.errors import FailedPrecondition

Load = Callable[..., PhoneHead | None]

LABELS = ["", "a", "tʰ"]
WEIGHT = np.random.default_rng(0).standard_normal((3, 48)).astype(np.float32)
BIAS = np.array([0.5, -1, 2], np.float32)
TENSORS = {"phones.weight": WEIGHT, "phones.bias": BIAS}
CHOICE = {"layer": 2, "labels": LABELS}


@pytest.fixture
def load(directory: Path, tmp_path: Path) -> Load:
    """The phone head of the small checkpoint with these files beside it."""

    def loaded(choices: Any = None, tensors: dict[str, Any] | None = None) -> PhoneHead | None:
        shutil.copytree(directory, tmp_path, dirs_exist_ok=True)
        if choices is not None:
            (tmp_path / "heads.json").write_text(json.dumps(choices))
        if tensors is not None:
            save_file(tensors, tmp_path / "heads.safetensors")
        return load_phone_head(resolve(str(tmp_path)))

    return loaded


def test_a_head_gives_log_probabilities_of_its_labels(load: Load) -> None:
    head = load({"phones": CHOICE}, TENSORS)
    assert head is not None
    assert (head.layer, head.labels) == (2, tuple(LABELS))
    states = 30 * np.random.default_rng(1).standard_normal((7, 48)).astype(np.float32)
    scores = head(states)
    assert scores.shape == (7, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
    given = states @ WEIGHT.T + BIAS
    np.testing.assert_allclose(scores - scores[:, :1], given - given[:, :1], rtol=1e-4, atol=1e-3)


def test_half_precision_is_read_in_single(load: Load) -> None:
    half = {name: tensor.astype(np.float16) for name, tensor in TENSORS.items()}
    head = load({"phones": CHOICE}, half)
    assert head is not None
    assert head.weight.dtype == head.bias.dtype == np.float32
    np.testing.assert_allclose(head.weight, WEIGHT, atol=2e-3)


@pytest.mark.parametrize("choices", [None, {}, {"others": 1}])
def test_a_checkpoint_may_have_no_phone_head(load: Load, choices: Any) -> None:
    assert load(choices) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layer": 4}, "layer 4"),
        ({"layer": True}, "layer True"),
        ({"license": 1}, "license that is no text"),
        ({"labels": "a"}, "no list of texts"),
        ({"labels": ["", 3]}, "no list of texts"),
        ({"labels": ["a", "", "b"]}, "do not begin"),
        ({"labels": ["", "a", "a"]}, "not all different"),
        ({"labels": ["", "a"]}, "phones.weight of shape"),
    ],
)
def test_choices_that_do_not_fit_are_refused(load: Load, changed: Any, message: str) -> None:
    with pytest.raises(FailedPrecondition, match=message) as caught:
        load({"phones": CHOICE | changed}, TENSORS)
    assert caught.value.field == "model"


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (None, "absent"),
        ({"phones.weight": WEIGHT}, "no phones.bias"),
        (TENSORS | {"phones.bias": BIAS.astype(np.float64)}, "no phones.bias"),
        (TENSORS | {"phones.weight": WEIGHT * np.float32(np.nan)}, "NaN"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(load: Load, tensors: Any, message: str) -> None:
    with pytest.raises(FailedPrecondition, match=message):
        load({"phones": CHOICE}, tensors)


def test_a_damaged_file_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "heads.safetensors").write_bytes(b"no tensors")
    with pytest.raises(FailedPrecondition, match="damaged"):
        load({"phones": CHOICE})
    with pytest.raises(FailedPrecondition, match="layer None"):
        load({"phones": "all"}, TENSORS)
