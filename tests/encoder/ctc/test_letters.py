"""Heads that write letters: what they compute, and how they lie in a model directory."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from embedsvc.encoder import load_phone_head, resolve
from embedsvc.encoder.ctc import CtcHead, load_heads
from embedsvc.encoder.ctc.letter_files import Written, write_letters
from embedsvc.encoder.ctc.letters import LetterHead, Shape, scores
from embedsvc.errors import FailedPrecondition
from embedsvc.types import Floats, HeadKind

LABELS = ("", "|", "a", "b", "é")
SHAPE = Shape(inputs=48, hidden=12, blocks=2, kernel=5, labels=len(LABELS))


def tensors(seed: int = 0) -> dict[str, Floats]:
    random = np.random.default_rng(seed)
    return {
        name: random.normal(0, 0.3, size).astype(np.float16).astype(np.float32)
        for name, size in SHAPE.tensors().items()
    }


def states(frames: int) -> Floats:
    return np.random.default_rng(frames).standard_normal((frames, 48)).astype(np.float32)


def ready(seed: int = 0) -> LetterHead:
    found = {name: torch.from_numpy(each) for name, each in tensors(seed).items()}
    return LetterHead(SHAPE, found)


def written(name: str, *languages: str, seed: int = 0) -> Written:
    return Written(
        name, 2, languages, LABELS, SHAPE, tensors(seed), "CC0-1.0", {"errors": 0.25}
    )  # fmt: skip


@pytest.fixture
def bare(directory: Path, tmp_path: Path) -> Path:
    """The small checkpoint, to put heads in."""
    return Path(shutil.copytree(directory, tmp_path / "model"))


def heads_of(bare: Path) -> dict[str, CtcHead]:
    return {head.info.name: head for head in load_heads(resolve(str(bare)))}


def test_a_head_gives_log_probabilities_of_each_frame() -> None:
    for frames in (1, 2, 40):
        found = ready()(states(frames))
        assert found.shape == (frames, len(LABELS))
        assert found.dtype == np.float32
        np.testing.assert_allclose(np.exp(found).sum(axis=1), 1, rtol=1e-5)


def test_a_label_is_decided_by_frames_within_reach_alone() -> None:
    known = states(40)
    changed = known.copy()
    changed[20, 0] += 9
    apart = np.abs(ready()(known) - ready()(changed)).max(axis=1) > 1e-6
    assert SHAPE.reach == 4
    assert np.flatnonzero(apart).tolist() == list(range(16, 25))


def test_padding_beside_an_utterance_is_not_heard() -> None:
    head = ready()
    padded = np.zeros((2, 30, 48), np.float32)
    inside = torch.zeros((2, 30, 1))
    for row, length in enumerate((30, 13)):
        padded[row, :length], inside[row, :length] = states(length), 1
    together = torch.log_softmax(scores(head.tensors, torch.from_numpy(padded), inside), -1)
    for row, length in enumerate((30, 13)):
        alone = head(states(length))
        np.testing.assert_allclose(together[row, :length].numpy(), alone, atol=1e-5)


def test_what_is_written_into_a_model_is_what_it_serves(bare: Path) -> None:
    write_letters([written("letters-spa", "spa"), written("letters-fra", "fra", seed=1)], bare)
    found = heads_of(bare)
    assert list(found) == ["letters-fra", "letters-spa"]
    for seed, (name, language) in enumerate((("letters-spa", "spa"), ("letters-fra", "fra"))):
        head = found[name]
        assert (head.info.kind, head.info.languages) == (HeadKind.TEXT, (language,))
        assert (head.info.license, head.info.figures) == ("CC0-1.0", {"errors": 0.25})
        assert (head.layer, head.reach, head.vocabulary.space) == (2, 4, 1)
        np.testing.assert_array_equal(head(states(33)), ready(seed)(states(33)))


def test_a_head_replaces_that_of_its_name_and_leaves_all_others(bare: Path) -> None:
    phones = {"phones.weight": np.ones((2, 48), np.float32), "phones.bias": np.zeros(2, np.float32)}
    save_file(phones, bare / "heads.safetensors")
    (bare / "heads.json").write_text(json.dumps({"phones": {"layer": 1, "labels": ["", "a"]}}))
    write_letters([written("letters-spa", "spa"), written("letters-fra", "fra")], bare)
    write_letters([written("letters-spa", "spa", seed=3)], bare)
    found = heads_of(bare)
    assert sorted(found) == ["letters-fra", "letters-spa", "phones"]
    np.testing.assert_array_equal(found["letters-spa"](states(9)), ready(3)(states(9)))
    np.testing.assert_array_equal(found["letters-fra"](states(9)), ready(0)(states(9)))
    kept = load_phone_head(resolve(str(bare)))
    assert kept is not None
    np.testing.assert_array_equal(kept.weight, phones["phones.weight"])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layer": 9}, "layer 9"),
        ({"layer": True}, "layer True"),
        ({"blocks": 17}, "17 blocks"),
        ({"blocks": 1}, "too many"),
        ({"blocks": 3}, r"no blocks\.2"),
        ({"languages": []}, "no list of its languages"),
        ({"languages": ["Spanish"]}, "ISO 639-3"),
        ({"labels": "a"}, "no list of texts"),
        ({"labels": ["", "a", "b"]}, r'no "\|"'),
        ({"labels": ["", "|", "a", "a", "b"]}, "all different"),
        ({"labels": ["", "|", "a"]}, r"output\.weight of shape \(3, 12\)"),
        ({"license": 3}, "license"),
        ({"figures": {"errors": "few"}}, "figures"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    bare: Path, changed: dict[str, Any], message: str
) -> None:
    write_letters([written("letters-spa", "spa")], bare)
    choices = json.loads((bare / "heads.json").read_text())
    choices["letters"]["letters-spa"] |= changed
    (bare / "heads.json").write_text(json.dumps(choices))
    with pytest.raises(FailedPrecondition, match=message) as caught:
        heads_of(bare)
    assert caught.value.field == "model"
    assert "letters-spa" in str(caught.value)


def test_names_and_files_that_are_none_are_refused(bare: Path) -> None:
    write_letters([written("letters-spa", "spa")], bare)
    choices = json.loads((bare / "heads.json").read_text())
    for letters, message in (([], "no object"), ({"Español": {}}, "small letters")):
        (bare / "heads.json").write_text(json.dumps(choices | {"letters": letters}))
        with pytest.raises(FailedPrecondition, match=message):
            heads_of(bare)
    (bare / "heads.json").write_text(json.dumps(choices))
    (bare / "heads.safetensors").write_bytes(b"no tensors")
    with pytest.raises(FailedPrecondition, match="damaged"):
        heads_of(bare)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"output.bias": np.zeros(5, np.float64)}, "float16 or float32"),
        ({"output.bias": np.full(5, np.nan, np.float32)}, "NaN"),
        ({"blocks.0.depthwise.weight": np.zeros((12, 4), np.float32)}, "odd"),
        ({"blocks.0.depthwise.weight": np.zeros((12, 63), np.float32)}, "at most 50"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    bare: Path, changed: dict[str, Any], message: str
) -> None:
    write_letters([written("letters-spa", "spa")], bare)
    kept = load_file(bare / "heads.safetensors")
    changed = {f"letters.letters-spa.{name}": each for name, each in changed.items()}
    save_file({**kept, **changed}, bare / "heads.safetensors")
    with pytest.raises(FailedPrecondition, match=message):
        heads_of(bare)
