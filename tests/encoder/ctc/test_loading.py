import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.ctc import CtcHead, load_heads, resolve_ctc
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.types import HeadInfo, HeadKind
from tests.encoder.ctc.published import bert, log_probabilities, logits_of, write
from tests.encoder.reference import utterance, whole

NEAR = 5e-5


def only(path: Path) -> CtcHead:
    (head,) = load_heads(resolve(str(path)))
    return head


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"add_adapter": True},
        {"add_adapter": True, "num_adapter_layers": 3},
        {"add_adapter": True, "adapter_stride": 1},
        {"add_adapter": True, "adapter_stride": 3, "adapter_kernel_size": 5},
        {"add_adapter": True, "output_hidden_size": 32, "adapter_act": "gelu"},
        {"add_adapter": True, "use_intermediate_ffn_before_adapter": True},
        {"position_embeddings_type": "relative", "add_adapter": True},
    ],
)
def test_a_head_gives_what_the_reference_gives(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = bert(**changes)
    path = write(model, tmp_path)
    head, encoder = only(path), Encoder.load(resolve(str(path)))
    for length in (1, 2, 3, 50, 97):
        frames = utterance(length)
        states = encoder.encode([frames], [whole(frames, head.layer)])[0].frames[head.layer]
        if not head.count(length):
            assert head(states).shape == (0, 9)
            continue
        wanted = logits_of(model, frames)
        scores = head(states)
        assert scores.dtype == np.float32
        assert len(scores) == head.count(length) == len(wanted)
        np.testing.assert_allclose(scores, log_probabilities(wanted), atol=NEAR, rtol=0)
        np.testing.assert_array_equal(scores.argmax(1), wanted.argmax(1))


def test_the_head_of_the_bundled_model_has_the_same_interface() -> None:
    checkpoint = resolve("mini")
    heads = load_heads(checkpoint)
    assert {"phones"} == {head.info.name for head in heads if not head.info.languages}
    for head in heads:
        states = np.zeros((30, 192), np.float32)
        assert head(states).shape == (30, head.info.labels) == (30, len(head.vocabulary.labels))
    (head,) = (head for head in heads if head.info.name == "phones")
    assert head.info.kind is HeadKind.PHONES
    assert head.info.labels == len(head.vocabulary.labels)
    assert head.info.license == "CC-BY-SA-4.0"
    assert head.vocabulary.blank == 0
    assert head.vocabulary.space is None
    assert head.frame_samples == 320
    frames = utterance(30)
    encoded = Encoder.load(checkpoint).encode([frames], [whole(frames, head.layer)])[0]
    scores = head(encoded.frames[head.layer])
    assert scores.shape == (30, head.info.labels) == (head.count(30), head.info.labels)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)


def changed(path: Path, **values: Any) -> Path:
    """The checkpoint with other values in its config; None takes a value away."""
    config = json.loads((path / "config.json").read_text()) | values
    kept = {name: value for name, value in config.items() if value is not None}
    (path / "config.json").write_text(json.dumps(kept))
    return path


def refused(path: Path, *messages: str) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        load_heads(resolve_ctc(str(path)))
    assert caught.value.field == "model"
    for message in messages:
        assert message in caught.value.message


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with an adapter; tests copy it."""
    return write(bert(add_adapter=True), tmp_path_factory.mktemp("ctc") / "speech")


@pytest.fixture
def copy(adapted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(adapted, tmp_path / "speech"))


def test_a_head_tells_what_it_is(copy: Path) -> None:
    (copy / "README.md").write_text("---\nlicense: mit\n---\n")
    head = only(copy)
    assert head.info == HeadInfo(
        name="text",
        kind=HeadKind.TEXT,
        languages=(),
        labels=9,
        frame_seconds=0.04,
        calibration="probability/v1",
        license="mit",
        model="speech",
    )
    assert (head.layer, head.frame_samples, head.adapter) == (3, 640, "")
    assert head.grid.span(1).start == 600
    assert (head.vocabulary.blank, head.vocabulary.space) == (8, 4)


def test_a_head_does_not_change_the_encoder(adapted: Path, tmp_path: Path) -> None:
    plain = write(bert(), tmp_path / "plain")
    tensors = load_file(adapted / "model.safetensors")
    body = {name: each for name, each in tensors.items() if ".adapter." not in name}
    save_file(body, plain / "model.safetensors")
    assert resolve(str(plain)).weights == resolve(str(adapted)).weights


def test_an_encoder_alone_has_no_heads(directory: Path) -> None:
    assert load_heads(resolve(str(directory))) == ()


def test_phones_and_text_may_be_in_one_checkpoint(copy: Path) -> None:
    (copy / "heads.json").write_text(json.dumps({"phones": {"layer": 2, "labels": ["", "a"]}}))
    zeros = {"phones.weight": torch.zeros(2, 48), "phones.bias": torch.zeros(2)}
    save_file(zeros, copy / "heads.safetensors")
    heads = load_heads(resolve(str(copy)))
    assert [(head.info.name, head.layer) for head in heads] == [("phones", 2), ("text", 3)]


def test_all_faults_are_reported_together(copy: Path) -> None:
    (copy / "vocab.json").write_text(json.dumps({"a": "x"}))
    changed(
        copy,
        pad_token_id=9,
        adapter_stride=4,
        adapter_act="tanh",
        output_hidden_size=50,
        num_adapter_layers=65,
        use_intermediate_ffn_before_adapter="no",
    )
    refused(
        copy,
        "`pad_token_id`, the blank, must be a whole number from 0 to 8, but is 9",
        "`adapter_act` must be one of swish, silu, gelu, relu, but is 'tanh'",
        "`output_hidden_size` must be a multiple of 4 heads, but is 50",
        "`num_adapter_layers` must be a whole number from 1 to 64, but is 65",
        "`use_intermediate_ffn_before_adapter` must be true or false, but is 'no'",
        "tokens of vocab.json must be at whole numbers",
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"vocab_size": None}, "`vocab_size` must be a whole number from 2 to 65536"),
        ({"vocab_size": True}, "but is True"),
        ({"vocab_size": 10**9}, "but is 1000000000"),
        ({"vocab_size": 8, "pad_token_id": 0}, "'[PAD]' is 8"),
        ({"vocab_size": 10}, "lm_head.weight is (9, 48) in place of (10, 48)"),
        ({"pad_token_id": 0}, "that of the padding '[PAD]', 8, but is 0"),
        ({"pad_token_id": -1}, "`pad_token_id`"),
        ({"adapter_stride": 4}, "`adapter_stride` must be at most the kernel of 3, but is 4"),
        ({"add_adapter": 1}, "`add_adapter` must be true or false, but is 1"),
        ({"output_hidden_size": 10**6}, "`output_hidden_size`"),
        ({"num_adapter_layers": 2}, "lacks wav2vec2_bert.adapter.layers.1"),
        ({"adapter_kernel_size": 5}, "in place of (96, 48, 5)"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(
    copy: Path, values: dict[str, Any], message: str
) -> None:
    refused(changed(copy, **values), message)


def test_a_claimed_head_must_be_there(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    save_file(
        {name: each for name, each in tensors.items() if not name.startswith("lm_head")},
        copy / "model.safetensors",
    )
    refused(copy, "lacks lm_head.bias, lm_head.weight")
    assert load_heads(resolve(str(changed(copy, architectures=["Wav2Vec2BertModel"])))) == ()


def test_a_pickle_is_refused_with_the_way_out(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    refused(copy, "pytorch_model.bin, a pickle that could run code; convert it", "save_pretrained")


def test_a_file_of_names_that_is_too_large_is_refused(copy: Path) -> None:
    with (copy / "vocab.json").open("wb") as file:
        file.truncate(40 * 2**20)
    refused(copy, "vocab.json of at most")


def test_the_files_of_a_newer_processor_are_read(copy: Path) -> None:
    values = {"feature_extractor": {"num_mel_bins": 128}}
    (copy / "processor_config.json").write_text(json.dumps(values))
    refused(copy, "`num_mel_bins` of processor_config.json must be 80, but is 128")


def test_only_models_with_adapters_have_languages_to_choose(copy: Path) -> None:
    with pytest.raises(InvalidArgument, match="without adapters") as caught:
        resolve_ctc(str(copy), ["eng"])
    assert caught.value.field == "languages"
