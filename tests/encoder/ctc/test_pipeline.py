"""The text of a checkpoint is that of the reference library's own pipeline."""

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

from embedsvc.audio.features import features
from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.ctc import CtcHead, load_heads, resolve_ctc
from embedsvc.encoder.waveform import WaveformEncoder, resolve_waveform
from embedsvc.types import Ask, Floats
from tests.encoder.ctc.published import (
    READS_FEATURES,
    READS_SAMPLES,
    STABLE,
    bert,
    published,
    speech,
    wave,
)

Hear = Callable[[Path, CtcHead, Floats], Floats]


def from_features(path: Path, head: CtcHead, samples: Floats) -> Floats:
    frames = features(samples)
    ask = Ask((head.layer,), (0, len(frames)))
    (answer,) = Encoder.load(resolve(str(path))).encode([frames], [ask])
    return answer.frames[head.layer]


def from_samples(path: Path, head: CtcHead, samples: Floats) -> Floats:
    encoder = WaveformEncoder.load(resolve_waveform(str(path)))
    ask = Ask((head.layer,), (0, encoder.frame_count(len(samples))))
    (answer,) = encoder.encode([samples], [ask])
    return answer.frames[head.layer]


@pytest.mark.parametrize(
    ("make", "changes", "extractor", "hear"),
    [
        (bert, {"add_adapter": True}, READS_FEATURES(padding_value=1), from_features),
        (wave, STABLE, READS_SAMPLES(return_attention_mask=True), from_samples),
        (wave, {}, READS_SAMPLES(), from_samples),
    ],
    ids=["w2v-BERT", "XLSR", "base"],
)
def test_the_greedy_text_is_that_of_the_reference(
    tmp_path: Path, make: Callable[..., Any], changes: dict[str, Any], extractor: Any, hear: Hear
) -> None:
    samples = speech(32_000)
    path = published(make(**changes), extractor, tmp_path, samples)
    (head,) = load_heads(resolve_ctc(str(path)))
    places = head(hear(path, head, samples)).argmax(axis=1).tolist()
    labels = head.vocabulary.labels
    text = "".join(labels[place] for place, _ in groupby(places))
    reference: Any = pipeline("automatic-speech-recognition", model=str(path))
    wanted = reference(samples)["text"]
    assert len(wanted) > 20
    assert text.strip() == wanted
