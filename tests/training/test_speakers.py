# ruff: noqa: RUF001  # IPA looks like other letters, and must

import shutil

import numpy as np
import pytest

from embedsvc.training import rhvoice, speakers
from embedsvc.training.espeak import Espeak, Voice
from embedsvc.training.languages import language_of
from embedsvc.training.phones import cut
from embedsvc.training.reading import read
from embedsvc.training.rendering import AUDIBLE
from embedsvc.training.speakers import FLITE, OPEN_JTALK, RHVOICE, Speaker, speak, version
from embedsvc.training.utterances import Utterance

SLT = Speaker(FLITE, "slt", "eng", "ascii", "radio")
needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")

ELENA = Speaker(RHVOICE, "Elena", "rus", "utf-8", "")
needs_rhvoice = pytest.mark.skipif(not version(ELENA), reason="RHVoice is not installed")
MEI = Speaker(OPEN_JTALK, "mei_normal", "jpn", "utf-8", "romaji")
needs_open_jtalk = pytest.mark.skipif(not version(MEI), reason="Open JTalk is not installed")


def utterance(text: str, rate: int = 190, pitch: int = 50) -> Utterance:
    return Utterance(text, "", Voice("slt", "", rate, pitch), 800, 800)


def test_every_voice_speaks_a_language_of_the_table() -> None:
    for speaker in speakers.speakers():
        assert language_of(speaker.language)
        "".encode(speaker.encoding)


def test_an_accent_of_rhvoice_is_one_of_its_language() -> None:
    language = {each.name: each.language for each in speakers.speakers() if each.program == RHVOICE}
    for name, reader in speakers.READERS.items():
        known = language_of(language[name])
        assert known is not None
        assert reader in known.voices


def test_every_name_of_an_alphabet_is_ipa_or_a_pause() -> None:
    used = {speaker.alphabet for speaker in speakers.speakers()} - {""}
    rows = speakers._table("alphabets.tsv")
    assert {row["alphabet"] for row in rows} == used
    for row in rows:
        assert bool(cut(row["ipa"])) == bool(row["ipa"])


def test_a_voice_that_is_not_installed_has_no_version() -> None:
    assert version(Speaker(FLITE, "nobody", "eng", "ascii", "radio")) == ""
    assert version(Speaker("festival", "nobody", "eng", "ascii", "radio")) == ""
    assert version(Speaker(RHVOICE, "Nobody", "eng", "utf-8", "")) == ""


def test_a_synthesizer_that_is_not_installed_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rhvoice, "LIBRARY", "libnobody.so.1")
    rhvoice.engine.cache_clear()
    try:
        assert version(ELENA) == ""
        assert list(speak(ELENA, [utterance("добрый день")])) == [None]
    finally:
        rhvoice.engine.cache_clear()


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


@needs_rhvoice
@pytest.mark.usefixtures("needs_espeak")
def test_what_rhvoice_says_has_the_phones_of_espeak_in_order() -> None:
    (spoken,) = speak(ELENA, [utterance("добрый день")])
    assert spoken is not None
    assert tuple(name for _, name in spoken.phones) == read(Espeak(), "rus", "добрый день")
    assert len(spoken.phones) > 8
    begins = [begin for begin, _ in spoken.phones]
    assert begins == sorted(set(begins))
    assert np.abs(spoken.samples[: begins[0]]).max() <= AUDIBLE * 2**15
    assert begins[-1] < len(spoken.samples)


@needs_rhvoice
@pytest.mark.usefixtures("needs_espeak")
def test_rhvoice_says_the_same_again() -> None:
    first, second = speak(ELENA, [utterance("добрый день")] * 2)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.samples, second.samples)


@needs_rhvoice
@pytest.mark.usefixtures("needs_espeak")
def test_rhvoice_says_nothing_of_a_text_without_words() -> None:
    assert list(speak(ELENA, [utterance("..."), utterance("")])) == [None, None]


@needs_rhvoice
@pytest.mark.usefixtures("needs_espeak")
def test_rate_and_pitch_change_how_rhvoice_sounds() -> None:
    usual, fast, high = speak(
        ELENA,
        [
            utterance("добрый день"),
            utterance("добрый день", 280),
            utterance("добрый день", 190, 95),
        ],
    )
    assert usual is not None
    assert fast is not None
    assert high is not None
    assert len(fast.samples) < len(usual.samples)
    assert len(high.samples) == len(usual.samples)
    assert not np.array_equal(high.samples, usual.samples)


@needs_open_jtalk
def test_phones_of_open_jtalk_begin_where_it_is_heard() -> None:
    (spoken,) = speak(MEI, [utterance("今日は")])
    assert spoken is not None
    assert np.abs(spoken.samples[: spoken.phones[0][0]]).max() <= AUDIBLE * 2**15
