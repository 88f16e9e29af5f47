import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedsvc.encoder.config import EncoderConfig, read_config
from embedsvc.errors import FailedPrecondition, InvalidArgument, ModelNotFound

Read = Callable[..., EncoderConfig]

SOUND: dict[str, Any] = {
    "model_type": "wav2vec2-bert",
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(changes: dict[str, Any] | None = None, preprocessor: Any = None) -> EncoderConfig:
        values = SOUND | (changes or {})
        (tmp_path / "config.json").write_text(json.dumps(values))
        if preprocessor is not None:
            (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
        return read_config(tmp_path)

    return reading


def test_absent_keys_are_the_published_defaults(read: Read) -> None:
    config = read()
    assert (config.conv_depthwise_kernel_size, config.layer_norm_eps) == (31, 1e-5)
    assert (config.position_embeddings_type, config.positions) == ("relative_key", 73)
    assert (config.hidden_act, config.head_size) == ("swish", 12)


def test_unknown_keys_and_code_to_load_are_ignored(read: Read) -> None:
    changes = {"auto_map": {"AutoModel": "evil.Model"}, "codevector_dim": 768}
    assert read(changes) == read()


def test_all_faults_are_reported_together(read: Read) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        read({"hidden_size": "48", "hidden_act": "tanh", "layer_norm_eps": 0.0})
    for name in ("hidden_size", "hidden_act", "layer_norm_eps"):
        assert f"`{name}`" in caught.value.message
    assert caught.value.field == "model"


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 50},
        {"hidden_size": True},
        {"num_hidden_layers": 0},
        {"num_hidden_layers": 10**9},
        {"num_attention_heads": None},
        {"feature_projection_input_dim": 80},
        {"conv_depthwise_kernel_size": 30},
        {"left_max_position_embeddings": -1},
        {"layer_norm_eps": float("nan")},
        {"layer_norm_eps": "1e-5"},
        {"hidden_act": ["swish"]},
        {"position_embeddings_type": "alibi"},
        {"position_embeddings_type": "rotary", "num_attention_heads": 16},
        {"position_embeddings_type": "relative", "hidden_size": 45, "num_attention_heads": 5},
    ],
)
def test_a_config_we_can_not_run_is_refused(read: Read, changes: Any) -> None:
    with pytest.raises(FailedPrecondition, match="must have a config we can run"):
        read(changes)


@pytest.mark.parametrize("model_type", ["wav2vec2", None])
def test_another_kind_of_model_is_refused(read: Read, model_type: str | None) -> None:
    with pytest.raises(InvalidArgument, match="must be of type wav2vec2-bert"):
        read({"model_type": model_type})


@pytest.mark.parametrize("key", ["feature_size", "num_mel_bins", "stride", "sampling_rate"])
def test_features_we_do_not_make_are_refused(read: Read, key: str) -> None:
    with pytest.raises(FailedPrecondition, match=f"`{key}` of preprocessor_config.json"):
        read(preprocessor={key: 7})


def test_a_preprocessor_config_of_our_features_is_accepted(read: Read) -> None:
    read(preprocessor={"feature_size": 80, "num_mel_bins": 80, "stride": 2})


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, "\xff"])
def test_a_config_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(FailedPrecondition, match=r"config\.json"):
        read_config(tmp_path)


def test_a_directory_without_a_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        read_config(tmp_path)
