from pathlib import Path

import pytest

from embedsvc.cli import evaluate_texts
from embedsvc.evaluation.speech import Row


def row(language: str, text: str) -> Row:
    return Row("set", Path(text), "dev", language, "", "", text, 1.0, "", "")


@pytest.mark.skipif(bool(evaluate_texts.fault()), reason="espeak-ng is not installed")
def test_texts_are_spelled_in_languages_that_are_spoken() -> None:
    known, unknown = row("deu", "Guten Tag."), row("qqq", "Guten Tag.")
    found = evaluate_texts.spell([known, unknown])
    assert set(found) == {known}
    assert {"t", "k", "n"} < set(found[known])


def test_a_missing_synthesizer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from embedsvc.training import espeak

    espeak._library.cache_clear()
    monkeypatch.setattr(espeak, "LIBRARY", "libabsent.so.9")
    assert "libabsent.so.9" in evaluate_texts.fault()
    monkeypatch.undo()
    espeak._library.cache_clear()
