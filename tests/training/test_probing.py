from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedsvc.encoder import Encoder, resolve
from embedsvc.evaluation.speech import SYNTHETIC, Row
from embedsvc.probes import from_files
from embedsvc.samples import clips
from embedsvc.training.probing import (
    EMOTION,
    KINDS,
    LANGUAGE,
    hear_views,
    make,
    plans_at,
    write_probe,
)
from embedsvc.types import ProbeRecipe

FEW = ("eng", "deu", "spa")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(resolve("mini"), threads=1)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """Samples as if they were held out by the synthesizer."""
    return [
        Row(
            corpus=SYNTHETIC,
            path=clip.path,
            split="train",
            locale=clip.language,
            speaker=clip.voice,
            label="chunk",
            transcript=clip.text,
            seconds=clip.seconds,
            group="",
            licence_class="cc-by-sa",
        )
        for clip in clips()
        if clip.language in FEW
    ]


def test_a_clip_is_heard_as_it_is_and_changed(encoder: Encoder, rows: list[Row]) -> None:
    plans = plans_at(encoder, (2, 5))
    heard = hear_views(encoder, plans, rows[:3], lambda *_: None)
    again = hear_views(encoder, plans, rows[:3], lambda *_: None)
    once = hear_views(encoder, plans, rows[:3], lambda *_: None, views=1)
    assert heard.vectors.shape == (6, sum(plan.space.dim for plan in plans))
    np.testing.assert_array_equal(heard.vectors, again.vectors)
    np.testing.assert_allclose(heard.vectors[:3], once.vectors, atol=1e-5)
    assert not np.allclose(heard.vectors[3:], once.vectors, atol=1e-2)


def test_a_probe_is_made_and_kept(encoder: Encoder, rows: list[Row], tmp_path: Path) -> None:
    quick = replace(LANGUAGE, recipe=ProbeRecipe(strengths=(0.1,), folds=2), kept=10)
    stages: list[str] = []
    probe = make(encoder, quick, rows, lambda what, *_: stages.append(what))
    assert probe.info.labels == tuple(sorted(FEW))
    assert len(probe.numbers.references) == 10
    assert {"listening", "done"} <= set(stages)
    assert "unknown_background" in probe.info.figures
    size = write_probe(probe, tmp_path / "language")
    files = [tmp_path / "language" / name for name in ("probe.safetensors", "probe.json")]
    assert size == sum(path.stat().st_size for path in files)
    assert from_files(*(path.read_bytes() for path in files)).info.digest == probe.info.digest


def test_nothing_that_is_kept_for_figures_is_learned_from(rows: list[Row]) -> None:
    kept = [replace(row, split="dev") for row in rows]
    person = replace(rows[0], corpus="gcompris_voices")
    assert LANGUAGE.wanted([*rows, *kept, person]) == rows
    acted = replace(rows[0], corpus="emo_ravdess", label="calm")
    others = [replace(acted, split="dev"), replace(acted, label="bored"), rows[0]]
    assert EMOTION.wanted([acted, *others]) == [acted]
    assert EMOTION.label(acted) == "neutral"


def test_a_kind_is_found_by_its_name() -> None:
    assert all(kind.name == name for name, kind in KINDS.items())
    assert "non-commercial" in EMOTION.license
