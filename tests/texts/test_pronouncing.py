# ruff: noqa: RUF001  # IPA looks like other letters, and must

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from embedsvc.errors import FeatureDisabled, InvalidArgument, Unavailable
from embedsvc.texts import espeak_worker, pronouncing
from embedsvc.texts.matching import MAX_PHONES
from embedsvc.texts.pronouncing import Said, pronounced, said, spelled


def is_installed() -> bool:
    library, _ = pronouncing._library()
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


spoken = pytest.mark.skipif(not is_installed(), reason="needs espeak-ng")


@spoken
def test_a_text_becomes_the_phones_that_a_head_is_trained_on() -> None:
    assert pronounced("Hallo Welt", "de") == ("h", "a", "l", "oː", "v", "ɛ", "l", "t")
    assert pronounced("привет", "rus") == ("p", "rʲ", "i", "vʲ", "e", "t")


@spoken
def test_a_language_without_a_voice_and_a_text_without_phones_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="`language_code` must be one that espeak-ng speaks"):
        pronounced("x", "yor")
    with pytest.raises(InvalidArgument, match="`language_code` must be a language of ISO 639"):
        pronounced("x", "q!")
    with pytest.raises(InvalidArgument, match="`text` must be 1 to 200 phones, but is 0"):
        pronounced("...", "eng")
    with pytest.raises(InvalidArgument, match="read a part of it as another language"):
        pronounced("привет", "deu")


@spoken
def test_many_texts_are_said_at_once_each_as_if_alone() -> None:
    texts = ["Hallo Welt", "", "a\0b", "ja\nnein"]
    found = said(texts, "de")
    assert [each.phones for each in found if each.phones] == [
        pronounced(text, "deu") for text in texts if text
    ]
    assert found[0].words == (0,) * 4 + (1,) * 4
    assert found[1] == Said()
    assert len(said(["ja " * MAX_PHONES], "deu")[0].phones) == 2 * MAX_PHONES


@spoken
def test_what_is_read_as_another_language_stays_in_a_long_text() -> None:
    (found,) = said(["привет Google"], "rus")
    assert found.phones[:6] == pronounced("привет", "rus")
    assert found.words[-1] == 1
    assert not any("(" in phone for phone in found.phones)


@spoken
def test_of_a_language_without_a_voice_nothing_is_said() -> None:
    assert said(["a", "b"], "yor") == said(["a", "b"], "q!") == [Said(), Said()]


@spoken
@pytest.mark.parametrize(
    "text", ["-v", "$(id)", "[[h@l'oU]]", "<speak>hi</speak>", "a\0b", "\n\n a"]
)
def test_a_text_is_only_read(text: str) -> None:
    assert pronounced(text, "eng")


def test_without_espeak_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pronouncing, "_library", lambda: ("/nowhere/libespeak-ng.so", ""))
    pronouncing._names.cache_clear()
    with pytest.raises(FeatureDisabled, match=r"install `embedsvc\[phones\]` or the system's"):
        pronounced("a text of its own", "eng")


def test_a_library_that_does_not_answer_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "espeak_worker.py").write_text("import time; time.sleep(60)\n", encoding="utf-8")
    monkeypatch.setattr(pronouncing, "SECONDS", 0.2)
    monkeypatch.setattr(pronouncing, "__file__", str(tmp_path / "pronouncing.py"))
    with pytest.raises(Unavailable, match=r"must answer within 0.2 s"):
        pronounced("another text of its own", "eng")


def test_the_worker_imports_nothing_of_ours() -> None:
    worker = Path(espeak_worker.__file__)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(worker), "/nowhere", "", "en"],
        input=b"",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (espeak_worker.NO_LIBRARY, b"")


def test_ipa_may_come_with_spaces_or_without() -> None:
    assert spelled("h a l oː") == spelled("haloː") == ("h", "a", "l", "oː")
    with pytest.raises(InvalidArgument, match="`phones` must be 1 to 200 phones, but is 0"):
        spelled("123")
    with pytest.raises(InvalidArgument, match="but is 201"):
        spelled("a" * 201)
