"""Whatever the files of a checkpoint hold, the answer is a head or an error that says why not."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedsvc.encoder.ctc import load_heads, resolve_ctc
from embedsvc.encoder.ctc.config import head_config, head_faults
from embedsvc.encoder.ctc.vocabulary import read_tokenizer
from embedsvc.encoder.waveform.config import read_waveform_config
from embedsvc.errors import EmbedsvcError
from tests.encoder.ctc.published import WAVE, of_languages

lenient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**40) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
HEAD = (
    "vocab_size",
    "pad_token_id",
    "add_adapter",
    "num_adapter_layers",
    "adapter_kernel_size",
    "adapter_stride",
    "adapter_act",
    "output_hidden_size",
    "use_intermediate_ffn_before_adapter",
)
BODY = (*WAVE, "feat_extract_norm", "conv_stride", "conv_kernel", "conv_bias", "adapter_attn_dim")
TOKENIZER = (
    "pad_token",
    "unk_token",
    "word_delimiter_token",
    "do_lower_case",
    "target_lang",
    "additional_special_tokens",
    "added_tokens_decoder",
    "tokenizer_class",
)


def some(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), values, max_size=3)


@pytest.fixture(scope="module")
def mms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of_languages(tmp_path_factory.mktemp("untrusted") / "mms")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@lenient
@given(changes=some(HEAD))
def test_a_head_is_sound_or_its_faults_are_told(changes: dict[str, Any]) -> None:
    sound = {"hidden_size": 48, "num_attention_heads": 4, "vocab_size": 9, "pad_token_id": 8}
    config = sound | changes
    if list(head_faults(config, 1)):
        return
    found = head_config(config, 1)
    assert 0 <= found.blank < found.labels
    assert (found.adapter is None) == (not config.get("add_adapter"))


@lenient
@given(
    words=st.dictionaries(st.text(max_size=2), st.integers(0, 9)) | values,
    config=some(TOKENIZER),
    added=st.dictionaries(st.text(max_size=2), values, max_size=2),
)
def test_a_tokenizer_is_read_or_its_faults_are_told(
    folder: Path, words: Any, config: dict[str, Any], added: dict[str, Any]
) -> None:
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "added_tokens.json").write_text(json.dumps(added))
    try:
        tokenizer, faults = read_tokenizer(folder)
    except EmbedsvcError:
        return
    assert (tokenizer is None) == bool(faults)
    if tokenizer and not list(tokenizer.faults("", 10, 0)):
        found = tokenizer.vocabulary("", 10, 0)
        assert len(found.labels) == 10
        assert not found.silent & {found.blank, found.space, found.unknown}


@lenient
@given(changes=some(BODY))
def test_a_body_is_sound_or_its_faults_are_told(folder: Path, changes: dict[str, Any]) -> None:
    config = {"model_type": "wav2vec2"} | WAVE | changes
    (folder / "config.json").write_text(json.dumps(config))
    try:
        found = read_waveform_config(folder)
    except EmbedsvcError:
        return
    assert found.frame_count(found.grid.field) == 1
    assert found.frame_count(found.grid.field - 1) == 0


@settings(lenient, max_examples=30)
@given(changes=some((*HEAD, *BODY)), tokens=some(TOKENIZER))
def test_a_whole_checkpoint_is_loaded_or_refused(
    mms: Path, folder: Path, changes: dict[str, Any], tokens: dict[str, Any]
) -> None:
    copy = folder / "mms"
    shutil.copytree(mms, copy, dirs_exist_ok=True)
    config = json.loads((copy / "config.json").read_text()) | changes
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "tokenizer_config.json").write_text(json.dumps(tokens))
    try:
        heads = load_heads(resolve_ctc(str(copy)))
    except EmbedsvcError:
        return
    assert all(head.info.labels == len(head.vocabulary.labels) for head in heads)
