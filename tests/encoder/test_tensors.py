import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import FailedPrecondition
from embedsvc.types import Floats
from tests.encoder.reference import save, utterance, whole

Tensors = dict[str, torch.Tensor]
Copy = Callable[[Tensors], Path]

FIRST = "encoder.layers.0.ffn1.intermediate_dense.weight"


@pytest.fixture
def tensors(directory: Path) -> Tensors:
    return load_file(directory / "model.safetensors")


@pytest.fixture
def copy(model: Any, tmp_path: Path) -> Copy:
    """The small checkpoint with other tensors."""

    def copied(tensors: Tensors) -> Path:
        return save(model, tmp_path / "copy", tensors)

    return copied


def final(path: Path) -> Floats:
    frames = utterance(30)
    return Encoder.load(resolve(str(path))).encode([frames], [whole(frames, 3)])[0].frames[3]


def shard(path: Path, tensors: Tensors, **files: str) -> Path:
    """Put the tensors in three files and an index; `files` rename shards in the index."""
    (path / "model.safetensors").unlink(missing_ok=True)
    names = sorted(tensors)
    mapping: dict[str, str] = {}
    for part in range(3):
        file = f"model-{part}.safetensors"
        chosen = {name: tensors[name] for name in names[part::3]}
        save_file(chosen, path / file)
        mapping |= dict.fromkeys(chosen, files.get(f"part{part}", file))
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": mapping}))
    return path


def test_shards_are_the_same_model(directory: Path, copy: Copy, tensors: Tensors) -> None:
    shards = shard(copy(tensors), tensors)
    assert len(resolve(str(shards)).files) == 3
    assert resolve(str(shards)).weights == resolve(str(directory)).weights
    np.testing.assert_array_equal(final(shards), final(directory))


def test_a_checkpoint_with_heads_is_the_same_encoder(
    directory: Path, copy: Copy, tensors: Tensors
) -> None:
    prefixed = {f"wav2vec2_bert.{name}": tensor for name, tensor in tensors.items()}
    heads = (
        "lm_head.weight",
        "wav2vec2_bert.adapter.layers.0.x",
        "projector.bias",
        "layer_weights",
    )
    path = copy(prefixed | {name: torch.ones(3) for name in heads})
    assert resolve(str(path)).weights == resolve(str(directory)).weights
    np.testing.assert_array_equal(final(path), final(directory))


def test_the_training_mask_is_optional(directory: Path, copy: Copy, tensors: Tensors) -> None:
    without = {name: each for name, each in tensors.items() if name != "masked_spec_embed"}
    assert resolve(str(copy(without))).weights == resolve(str(directory)).weights


def test_metadata_does_not_change_the_hash(directory: Path, copy: Copy, tensors: Tensors) -> None:
    path = copy(tensors)
    save_file(tensors, path / "model.safetensors", metadata={"made": "elsewhere"})
    assert resolve(str(path)).weights == resolve(str(directory)).weights


def test_one_changed_value_changes_the_hash(directory: Path, copy: Copy, tensors: Tensors) -> None:
    changed = tensors[FIRST].clone()
    changed[0, 0] += 1
    assert resolve(str(copy(tensors | {FIRST: changed}))).weights != resolve(str(directory)).weights


def test_a_changed_config_changes_the_hash(model: Any, directory: Path, tmp_path: Path) -> None:
    path = save(model, tmp_path, layer_norm_eps=1e-3)
    assert resolve(str(path)).weights != resolve(str(directory)).weights


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_widened_exactly(
    copy: Copy, tensors: Tensors, dtype: torch.dtype
) -> None:
    narrow = {name: tensor.to(dtype) for name, tensor in tensors.items()}
    states = final(copy(narrow))
    wide = final(copy({name: tensor.float() for name, tensor in narrow.items()}))
    np.testing.assert_array_equal(states, wide)


def refused(path: Path, match: str) -> None:
    with pytest.raises(FailedPrecondition, match=match) as caught:
        Encoder.load(resolve(str(path)))
    assert caught.value.field == "model"


def test_a_missing_tensor_is_named(copy: Copy, tensors: Tensors) -> None:
    del tensors[FIRST]
    refused(copy(tensors), f"lacks {FIRST}")


def test_many_missing_tensors_are_counted(copy: Copy, tensors: Tensors) -> None:
    left = {name: each for name, each in tensors.items() if "layers.2" not in name}
    refused(copy(left), r"lacks .* and \d+ more")


def test_an_unknown_tensor_is_named(copy: Copy, tensors: Tensors) -> None:
    extra = "encoder.layers.3.ffn1.intermediate_dense.weight"
    refused(copy(tensors | {extra: torch.ones(2)}), f"has unknown {extra}")


def test_a_wrong_shape_is_named(copy: Copy, tensors: Tensors) -> None:
    refused(copy(tensors | {FIRST: torch.ones(48, 80)}), r"\(48, 80\) in place of \(80, 48\)")


def test_a_type_we_do_not_read_is_named(copy: Copy, tensors: Tensors) -> None:
    refused(copy(tensors | {FIRST: tensors[FIRST].double()}), f"{FIRST} is F64")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_not_finite_is_named(copy: Copy, tensors: Tensors, value: float) -> None:
    broken = tensors[FIRST].clone()
    broken[3, 4] = value
    refused(copy(tensors | {FIRST: broken}), f"NaN or infinity in {FIRST}")


@pytest.mark.parametrize("size", [0, 4, 1000, 100_000])
def test_a_truncated_file_is_refused(copy: Copy, tensors: Tensors, size: int) -> None:
    path = copy(tensors)
    data = (path / "model.safetensors").read_bytes()
    assert size < len(data)
    (path / "model.safetensors").write_bytes(data[:size])
    refused(path, "truncated or damaged")


def test_a_pickle_is_refused_with_advice(copy: Copy, tensors: Tensors) -> None:
    path = copy(tensors)
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    refused(path, "a pickle that could run code; convert it")


def test_no_weights_at_all_is_refused(copy: Copy, tensors: Tensors) -> None:
    path = copy(tensors)
    (path / "model.safetensors").unlink()
    refused(path, "has no such file")


def test_a_missing_shard_is_named(copy: Copy, tensors: Tensors) -> None:
    path = shard(copy(tensors), tensors)
    (path / "model-1.safetensors").unlink()
    refused(path, "lacks the shard model-1.safetensors")


@pytest.mark.parametrize(
    "name", ["../copy/model-0.safetensors", "/etc/passwd", "model.bin", "", ".."]
)
def test_a_shard_elsewhere_is_refused(copy: Copy, tensors: Tensors, name: str) -> None:
    refused(shard(copy(tensors), tensors, part0=name), "not a plain safetensors file")


def test_a_tensor_in_two_shards_is_refused(copy: Copy, tensors: Tensors) -> None:
    path = shard(copy(tensors), tensors)
    shutil.copy(path / "model-1.safetensors", path / "model-0.safetensors")
    refused(path, "in two files")


@pytest.mark.parametrize("index", [{}, {"weight_map": {}}, {"weight_map": ["a"]}])
def test_an_index_without_a_map_is_refused(copy: Copy, tensors: Tensors, index: Any) -> None:
    path = shard(copy(tensors), tensors)
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(path, "has no `weight_map`")
