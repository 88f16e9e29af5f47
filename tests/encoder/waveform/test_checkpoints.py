import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from embedsvc.encoder.ctc import load_heads, resolve_ctc
from embedsvc.encoder.waveform import WaveformConfig, WaveformEncoder, resolve_waveform
from embedsvc.encoder.waveform.config import read_waveform_config
from embedsvc.errors import EmbedsvcError, FailedPrecondition, InvalidArgument, ModelNotFound
from tests.encoder.ctc.published import STABLE, of_languages, wave, write

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def mms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three languages; tests copy it."""
    return of_languages(tmp_path_factory.mktemp("waveform") / "mms")


@pytest.fixture
def copy(mms: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mms, tmp_path / "mms"))


def config_of(path: Path, values: dict[str, Any], features: Any = None) -> WaveformConfig:
    (path / "config.json").write_text(json.dumps({"model_type": "wav2vec2"} | values))
    if features is not None:
        (path / "preprocessor_config.json").write_text(json.dumps(features))
    return read_waveform_config(path)


def test_absent_keys_are_the_published_defaults(tmp_path: Path) -> None:
    config = config_of(tmp_path, {})
    assert (config.hidden_size, config.feat_extract_norm, config.do_normalize) == (
        768,
        "group",
        True,
    )
    assert (config.grid.hop, config.grid.field) == (320, 400)
    assert [config.frame_count(samples) for samples in (399, 400, 719, 720, 16_000)] == [
        0,
        1,
        1,
        2,
        49,
    ]


def test_all_faults_are_reported_together(tmp_path: Path) -> None:
    values = {
        "hidden_size": "48",
        "conv_dim": [512, 0],
        "conv_stride": 5,
        "hidden_act": "tanh",
        "feat_extract_norm": "batch",
        "layer_norm_eps": 0.0,
        "conv_bias": 1,
        "adapter_attn_dim": -1,
    }
    with pytest.raises(FailedPrecondition) as caught:
        config_of(tmp_path, values, {"do_normalize": "no", "sampling_rate": 8000})
    for name in (*values, "do_normalize", "sampling_rate"):
        assert f"`{name}`" in caught.value.message
    assert caught.value.field == "model"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden_size": 50}, "multiple of `num_attention_heads` 12"),
        ({"num_conv_pos_embedding_groups": 5}, "multiple of `num_conv_pos_embedding_groups` 5"),
        ({"conv_stride": [5, 2]}, "2 in `conv_stride`"),
        ({"conv_stride": [1024, 1024, 1, 1, 1, 1, 1]}, "at most 16000 samples in all"),
        ({"adapter_attn_dim": 16}, "without `do_stable_layer_norm`"),
    ],
)
def test_sizes_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(FailedPrecondition, match=message):
        config_of(tmp_path, values)


def test_another_kind_of_model_is_refused(tmp_path: Path, directory: Path) -> None:
    with pytest.raises(ModelNotFound, match="has none"):
        resolve_waveform(str(tmp_path))
    with pytest.raises(InvalidArgument, match="of type wav2vec2, but is 'wav2vec2-bert'"):
        resolve_waveform(str(directory))


def test_a_newer_processor_says_whether_to_normalize(tmp_path: Path) -> None:
    config_of(tmp_path, {})
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"feature_extractor": {"do_normalize": False}})
    )
    assert not read_waveform_config(tmp_path).do_normalize


def test_the_hash_is_of_the_body_alone(copy: Path, mms: Path) -> None:
    weights = resolve_waveform(str(mms)).weights
    tensors = load_file(copy / "model.safetensors")
    tensors["lm_head.weight"] += 1
    save_file(tensors, copy / "model.safetensors")
    assert resolve_waveform(str(copy)).weights == weights
    tensors["wav2vec2.encoder.layer_norm.weight"] += 1
    save_file(tensors, copy / "model.safetensors")
    assert resolve_waveform(str(copy)).weights != weights


@pytest.mark.parametrize(
    ("name", "message"),
    [("wav2vec2.encoder.layers.3.layer_norm.bias", "has unknown"), ("extra", "has unknown extra")],
)
def test_an_unknown_tensor_is_named(copy: Path, name: str, message: str) -> None:
    tensors = load_file(copy / "model.safetensors")
    save_file(tensors | {name: tensors["lm_head.bias"].clone()}, copy / "model.safetensors")
    with pytest.raises(FailedPrecondition, match=message):
        resolve_waveform(str(copy))


def test_languages_are_those_of_the_directory_or_those_asked_for(mms: Path) -> None:
    assert resolve_waveform(str(mms)).languages == ("azj-script_latin", "eng", "spa")
    assert resolve_waveform(str(mms), ["spa", "eng", "spa"]).languages == ("spa", "eng")


@pytest.mark.parametrize(
    ("language", "error", "message"),
    [
        ("deu", ModelNotFound, "must be of azj-script_latin, eng, spa"),
        ("../spa", InvalidArgument, "must be names such as"),
        ("", InvalidArgument, "must be names such as"),
        ("spa\n", InvalidArgument, "must be names such as"),
    ],
)
def test_a_language_that_is_not_there_is_refused(
    mms: Path, language: str, error: type[EmbedsvcError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        resolve_ctc(str(mms), [language])
    assert caught.value.field == "languages"


def test_a_pickled_language_is_refused_with_the_way_out(copy: Path) -> None:
    (copy / "adapter.spa.safetensors").rename(copy / "adapter.spa.bin")
    assert resolve_waveform(str(copy)).languages == ("azj-script_latin", "eng")
    with pytest.raises(FailedPrecondition, match=r"adapter\.spa\.bin, a pickle.*save_file"):
        resolve_waveform(str(copy), ["spa"])


def test_more_languages_than_fit_must_be_chosen(copy: Path) -> None:
    for number in range(64):
        shutil.copy(copy / "adapter.spa.safetensors", copy / f"adapter.x{number}.safetensors")
    with pytest.raises(InvalidArgument, match="at most 64, but are 67"):
        resolve_waveform(str(copy))
    assert resolve_waveform(str(copy), ["spa"]).languages == ("spa",)


def test_a_language_without_a_vocabulary_is_refused(copy: Path) -> None:
    shutil.copy(copy / "adapter.spa.safetensors", copy / "adapter.deu.safetensors")
    with pytest.raises(FailedPrecondition, match="must have the language 'deu'"):
        load_heads(resolve_ctc(str(copy), ["deu"]))


def test_a_language_that_lacks_parts_is_refused(copy: Path) -> None:
    file = copy / "adapter.spa.safetensors"
    tensors = load_file(file)
    save_file({k: v for k, v in tensors.items() if "lm_head" not in k}, file)
    with pytest.raises(FailedPrecondition, match="the labels of spa must be from 1 to 65536"):
        load_heads(resolve_ctc(str(copy), ["spa"]))
    save_file({k: v for k, v in tensors.items() if "layers.1" not in k}, file)
    with pytest.raises(FailedPrecondition, match=r"lacks .*layers\.1\.adapter_layer"):
        WaveformEncoder.load(resolve_waveform(str(copy), ["spa"]))


def test_a_license_that_the_card_states_goes_before(copy: Path) -> None:
    (copy / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    assert {head.info.license for head in load_heads(resolve_ctc(str(copy)))} == {"apache-2.0"}


def test_a_model_without_adapters_has_no_languages(tmp_path: Path) -> None:
    path = write(wave(**STABLE), tmp_path)
    assert resolve_waveform(str(path)).languages == ()
    with pytest.raises(InvalidArgument, match="without adapters, but has 'spa'"):
        resolve_ctc(str(path), ["spa"])


def test_a_hub_name_is_found_among_the_downloads(
    mms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--owner--speech"
    shutil.copytree(mms, cached / "snapshots" / REVISION)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(REVISION)
    found = resolve_ctc("owner/speech", ["spa"])
    assert (found.name, found.weights) == ("owner/speech", resolve_waveform(str(mms)).weights)
    assert [head.info.name for head in load_heads(found)] == ["spa"]
