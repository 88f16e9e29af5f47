"""Heads of other models beside that of mini: each writes what its own model writes, at once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2ForCTC, pipeline

from embedsvc.testing import serving
from embedsvc.types import Floats
from embedsvc.v1 import transcription_pb2
from tests.encoder.ctc.published import (
    LANGUAGES,
    READS_FEATURES,
    READS_SAMPLES,
    SPELLS,
    STABLE,
    balance,
    bert,
    of_languages,
    published,
    speech,
    wave,
)
from tests.service.calls import Stubs, floats, pcm_format, refused, s16, upload

Request = transcription_pb2.TranscribeRequest

SOUND = speech(32_000)
TEXTS = ("base", "large", "bert", "mms-eng", "mms-spa")


def many_languages(path: Path) -> Path:
    """Adapters and heads of three languages on one body, each of which writes letters."""
    of_languages(path)
    extractor = READS_SAMPLES(return_attention_mask=True)
    extractor.save_pretrained(path)
    inputs = extractor(SOUND, sampling_rate=16_000, return_tensors="pt")
    kind: Any = Wav2Vec2ForCTC
    model = kind.from_pretrained(path)
    balance(model, inputs, [1, 2, 3])
    model.save_pretrained(path)
    for language in LANGUAGES:
        file = path / f"adapter.{language}.safetensors"
        if file.exists():
            model.load_adapter(language)
            balance(model, inputs, [1, 2, 3])
            own = load_file(file) | {"lm_head.bias": model.lm_head.bias.detach()}
            save_file(own, file)
    tokenizer = SPELLS(str(path / "vocab.json"), target_lang="eng")
    tokenizer.save_pretrained(path)
    (path / "vocab.json").write_text(json.dumps(LANGUAGES))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each family."""
    folder = tmp_path_factory.mktemp("models")
    masked = READS_SAMPLES(return_attention_mask=True)
    features = READS_FEATURES(padding_value=1)
    return {
        "base": published(wave(), READS_SAMPLES(), folder / "base", SOUND),
        "large": published(wave(**STABLE), masked, folder / "large", SOUND),
        "bert": published(bert(add_adapter=True), features, folder / "bert", SOUND),
        "mms": many_languages(folder / "mms"),
    }


@pytest.fixture(scope="module")
def texts(models: dict[str, Path]) -> dict[str, str]:
    """What the reference library's own pipeline writes, by head."""
    kind: Any = pipeline
    found = {}
    for name in TEXTS:
        family, _, language = name.partition("-")
        own = models[family] / f"adapter.{language}.safetensors"
        options = {"target_lang": language, "ignore_mismatched_sizes": True} if own.exists() else {}
        asr = kind("automatic-speech-recognition", model=str(models[family]), model_kwargs=options)
        if language:
            asr.tokenizer.set_target_lang(language)
        found[name] = " ".join(asr(SOUND)["text"].split())
    assert all(len(text) > 20 for text in found.values())
    assert len(set(found.values())) == len(TEXTS)
    return found


@pytest.fixture(scope="module")
def stubs(models: dict[str, Path]) -> Iterator[Stubs]:
    """A server with the heads of all of them."""
    heads = {
        "base": f"{models['base']}:eng",
        "large": str(models["large"]),
        "bert": f"{models['bert']}:mn",
        "mms": f"{models['mms']}:eng,spa",
    }
    with serving({"model": {"heads": heads}}) as target, Stubs(target) as stubs:
        yield stubs


def written(stubs: Stubs, sound: Floats, **fields: Any) -> str:
    reply = stubs.transcription.Transcribe(Request(audio=floats(sound), **fields), timeout=60)
    return " ".join(segment.text for segment in reply.segments)


@pytest.mark.parametrize("name", TEXTS)
def test_a_head_writes_what_its_own_model_writes(
    stubs: Stubs, texts: dict[str, str], name: str
) -> None:
    assert written(stubs, SOUND, head=name) == texts[name]
