from pathlib import Path

import pytest

from embedsvc.evaluation.measures import VALUE
from embedsvc.evaluation.phone_errors import known_variants, measure, wanted
from embedsvc.evaluation.speech import SYNTHETIC, Row
from tests.evaluation.made import clips_of

LABELS = ("", "a", "b")


def row(name: str, speaker: str, phones: str, **changed: str) -> Row:
    known = {"corpus": SYNTHETIC, "split": "dev", "label": "chunk", "transcript": "x"} | changed
    return Row(
        known["corpus"], Path(name), known["split"], "eng", speaker, known["label"],
        known["transcript"], 1.0, "", "", tuple(phones.split()),
    )  # fmt: skip


def test_rates_are_of_all_phones_of_their_kind() -> None:
    rows = [
        row("1", "en+f1", "a b"),
        row("2", "en+new", "a a"),
        row("3", "k", "", corpus="artikulate"),
    ]
    clips = clips_of(rows)
    clips = type(clips)(
        clips.rows, clips.layers, clips.states, clips.default, clips.cepstra, ((1, 2), (1,), (2, 2))
    )
    found = {
        each.name: each.values[VALUE]
        for each in measure(clips, LABELS, {rows[2]: ("a",)}, frozenset({"f1"}))
    }
    assert found == {
        "synthetic": pytest.approx(1 / 4),
        "synthetic, known voices": 0,
        "synthetic, new voices": 0.5,
        "synthetic, language eng": pytest.approx(1 / 4),
        "artikulate": 2,
    }


def test_known_variants_are_those_of_train_rows() -> None:
    rows = [row("1", "en+f1", "", split="train"), row("2", "de+m1", "")]
    assert known_variants(rows) == {"f1"}


def test_only_clips_with_a_text_are_wanted() -> None:
    assert wanted(row("1", "en+f1", "a"))
    assert wanted(row("1", "k", "", corpus="artikulate"))
    assert not wanted(row("1", "k", "", corpus="artikulate", transcript=""))
    assert not wanted(row("1", "k", "", corpus="gcompris_voices"))
    assert not wanted(row("1", "en+f1", "a", label="parallel"))
