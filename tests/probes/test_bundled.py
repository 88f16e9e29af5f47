"""The probes that come with `mini`, as files and at work."""

import json
from pathlib import Path

import numpy as np
import pytest

from embedsvc.audio import Door, decode
from embedsvc.encoder import Encoder, resolve
from embedsvc.evaluation.listening import heard_sounds, plans_of
from embedsvc.evaluation.probing import told_of
from embedsvc.languages import languages
from embedsvc.probes import Probe, from_files
from embedsvc.probes.background import other_sounds, sounds
from embedsvc.samples import clips, one_of_each
from embedsvc.types import UnknownReason

FOLDER = resolve("mini").directory / "probes"
NAMES = ("emotion", "language")
MOST_BYTES = 2_000_000
"""Of all of them: they come with every installation."""

SEED = 77
"""Of sounds that no training and no figure was made with."""


def read(name: str) -> Probe:
    folder = FOLDER / name
    return from_files(
        (folder / "probe.safetensors").read_bytes(), (folder / "probe.json").read_bytes()
    )


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(resolve("mini"), threads=1)


@pytest.fixture(scope="module", params=NAMES)
def probe(request: pytest.FixtureRequest) -> Probe:
    return read(request.param)


def test_there_are_those_that_are_told_of() -> None:
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(NAMES)


def test_together_they_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*/*")) < MOST_BYTES


def test_a_probe_is_of_this_very_model(probe: Probe, encoder: Encoder) -> None:
    plans = plans_of(encoder, probe.info.spaces)
    assert [plan.space.fingerprint for plan in plans] == [
        space.fingerprint for space in probe.info.spaces
    ]
    assert {space.weights for space in probe.info.spaces} == {encoder.weights}


def test_a_probe_says_what_it_is(probe: Probe) -> None:
    info = probe.info
    assert info.version == 0
    assert info.about
    assert {"accuracy", "chance", "baseline_accuracy", "ece", "coverage"} <= info.figures.keys()
    assert json.loads(info.report)["examples"]["count"] > 500


def test_what_was_learned_from_non_commercial_speech_says_so() -> None:
    assert read("emotion").info.license.startswith("non-commercial")
    card = Path(FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert "non-commercial" in card


def test_every_label_of_the_language_probe_is_in_the_table() -> None:
    known = {row.code for row in languages() if row.measured.probe}
    assert set(read("language").info.labels) == known


def test_silence_has_no_answer(probe: Probe, encoder: Encoder) -> None:
    said = told_of(probe, encoder, [np.zeros(48_000, np.float32)])
    assert [each.unknown for each in said] == [UnknownReason.TOO_SHORT]


@pytest.mark.parametrize("made", [sounds, other_sounds])
def test_noise_and_music_are_unknown(probe: Probe, encoder: Encoder, made: type) -> None:
    some = [samples for _, samples in made(SEED)][::7]
    said = told_of(probe, encoder, some)
    assert np.mean([each.unknown is not None for each in said]) >= 0.95


def test_the_language_of_the_samples_is_named(encoder: Encoder) -> None:
    probe = read("language")
    few = one_of_each()
    plans = plans_of(encoder, probe.info.spaces)
    vectors, seconds = heard_sounds(
        encoder, plans, [decode(clip.data(), Door()).samples for clip in few]
    )
    told = probe(vectors, seconds.tolist())
    right = [each.scores[0].label == clip.language for each, clip in zip(told, few, strict=True)]
    assert np.mean(right) > 1 / 2, "chance is one in ninety-four"
    assert all(clip.language in probe.info.labels for clip in clips())


def test_no_sample_is_sure_of_an_emotion_that_it_has_not(encoder: Encoder) -> None:
    probe = read("emotion")
    samples = [decode(clip.data(), Door()).samples for clip in one_of_each()]
    for said in told_of(probe, encoder, samples):
        assert set(said.prediction_set) <= set(probe.info.labels)
        assert sum(each.probability for each in said.scores) == pytest.approx(1, abs=1e-6)
