"""Sets of speech made of the package's own samples, and a small model with a phone head."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from embedsvc.encoder import Encoder, load_phone_head, resolve
from embedsvc.evaluation.embedding import Pass, Subject, embed
from embedsvc.evaluation.speech import SYNTHETIC, Row, read_set, read_speech
from embedsvc.samples import Clip, clips
from tests.encoder.reference import reference, save
from tests.evaluation.sets import write_set

LABELS = ["", *"aeioutkpnmsrl"]
FEW = ("eng", "deu", "spa", "por")


def _row(clip: Clip, **changed: str) -> dict[str, str]:
    known = {
        "path": str(clip.path),
        "split": "dev",
        "language": clip.language,
        "speaker": clip.voice,
        "label": clip.group,
        "transcript": clip.text,
        "seconds": f"{clip.seconds:g}",
        "group": clip.group,
        "licence": "CC0-1.0",
        "licence_class": "permissive",
        "source": "samples",
    }
    return known | changed


@pytest.fixture(scope="session")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sets named as those that tasks know; what is in them is only made to fit."""
    folder = tmp_path_factory.mktemp("speech")
    few = [clip for clip in clips() if clip.language in FEW]
    halves = [
        _row(clip, split="dev" if clip.group == "news" else "train", label=clip.voice[0])
        for clip in few
    ]
    write_set(folder / "emo_emodb", halves)
    write_set(folder / "gcompris_voices", [_row(clip) for clip in few])
    write_set(folder / "other", [_row(clip, split="train") for clip in few[::3]])
    return folder


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    rows = []
    for place, clip in enumerate(clip for clip in clips() if clip.language in FEW):
        train = place % 3 > 0
        known = _row(clip, split="train" if train else "dev", label="chunk", group="")
        known["phones"] = " ".join(letter for letter in clip.text.lower() if letter in LABELS)
        rows += [known, _row(clip, label="parallel")]
    write_set(folder, rows)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, with random weights, and a phone head."""
    folder = save(reference(), tmp_path_factory.mktemp("models") / "small")
    random = np.random.default_rng(0)
    weight = random.standard_normal((len(LABELS), 48)).astype(np.float32)
    save_file(
        {"phones.weight": weight, "phones.bias": np.zeros(len(LABELS), np.float32)},
        folder / "heads.safetensors",
    )
    choices = {"phones": {"layer": 2, "labels": LABELS}}
    (folder / "heads.json").write_text(json.dumps(choices))
    return folder


@pytest.fixture(scope="session")
def subject(checkpoint: Path) -> Subject:
    found = resolve(str(checkpoint))
    encoder = Encoder.load(found, threads=1)
    return Subject(encoder, tuple(range(encoder.layers + 1)), load_phone_head(found))


@pytest.fixture(scope="session")
def rows(speech: Path, synthetic: Path) -> tuple[Row, ...]:
    return (*read_speech(speech), *read_set(synthetic, SYNTHETIC))


@pytest.fixture(scope="session")
def passed(subject: Subject, rows: tuple[Row, ...]) -> Pass:
    """Every clip of the sets, passed through the small model."""
    return embed(subject, rows, lambda *_: None)
