# ruff: noqa: RUF001  # IPA looks like other letters, and must

import shutil

import pytest

from embedsvc.training import speakers
from embedsvc.training.espeak import Voice
from embedsvc.training.languages import language_of
from embedsvc.training.phones import cut
from embedsvc.training.speakers import FLITE, Speaker, speak, version
from embedsvc.training.utterances import Utterance

SLT = Speaker(FLITE, "slt", "eng", "ascii", "radio")
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


def utterance(text: str, rate: int = 190, pitch: int = 50) -> Utterance:
    return Utterance(text, "", Voice("slt", "", rate, pitch), 800, 800)


def test_every_voice_speaks_a_language_of_the_table() -> None:
    for speaker in speakers.speakers():
        assert language_of(speaker.language)
        "".encode(speaker.encoding)


def test_every_name_of_an_alphabet_is_ipa_or_a_pause() -> None:
    used = {speaker.alphabet for speaker in speakers.speakers()} - {""}
    rows = speakers._table("alphabets.tsv")
    assert {row["alphabet"] for row in rows} == used
    for row in rows:
        assert bool(cut(row["ipa"])) == bool(row["ipa"])


def test_a_voice_that_is_not_installed_has_no_version() -> None:
    assert version(Speaker(FLITE, "nobody", "eng", "ascii", "radio")) == ""
    assert version(Speaker("festival", "nobody", "eng", "ascii", "radio")) == ""


@needs_flite
def test_phones_are_named_in_ipa_with_their_times() -> None:
    (spoken,) = speak(SLT, [utterance("good morning")])
    assert spoken is not None
    assert [name for _, name in spoken.phones] == [
        "",
        "ɡ",
        "ʊ",
        "d",
        "m",
        "ɔː",
        "ɹ",
        "n",
        "ɪ",
        "ŋ",
        "",
    ]
    assert spoken.phones[-1][0] < len(spoken.samples)


@needs_flite
def test_what_a_voice_has_no_letters_for_is_left_out() -> None:
    missing, there = speak(SLT, [utterance("добрый день"), utterance("good day")])
    assert missing is None
    assert there is not None


@needs_flite
def test_text_is_said_and_not_run() -> None:
    (spoken,) = speak(SLT, [utterance('good") (quit) ("day')])
    assert spoken is not None


@needs_flite
def test_rate_and_pitch_change_how_it_sounds() -> None:
    (usual, fast, high) = speak(
        SLT,
        [
            utterance("good morning"),
            utterance("good morning", 280),
            utterance("good morning", 190, 95),
        ],
    )
    assert usual is not None
    assert fast is not None
    assert high is not None
    assert len(fast.samples) < len(usual.samples)
    assert high.sample_rate > usual.sample_rate
