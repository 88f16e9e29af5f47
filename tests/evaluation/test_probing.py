"""A probe that learns on the package's samples, and is asked about others of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import InvalidArgument, SpaceMismatch
from embedsvc.evaluation import probe_tables
from embedsvc.evaluation.cross_corpus import OTHERS, crossings
from embedsvc.evaluation.emotion import common_emotion
from embedsvc.evaluation.listening import Heard, listen, plans_of
from embedsvc.evaluation.probing import (
    Outcome,
    ask,
    cepstral,
    label_of,
    told_of,
    with_cepstra,
)
from embedsvc.evaluation.speech import Row
from embedsvc.probes import Examples, Probe, train
from embedsvc.samples import Clip, clips
from embedsvc.types import OutputSpec, Pooling, ProbeRecipe, ProbeTask, UnknownReason, Windowing

FEW = ("eng", "deu", "spa", "por", "fra", "ita")


def row_of(clip: Clip) -> Row:
    return Row(
        corpus="samples",
        path=clip.path,
        split="dev" if clip.role == "query" else "train",
        locale=clip.language,
        speaker=clip.voice,
        label=clip.group,
        transcript=clip.text,
        seconds=clip.seconds,
        group=clip.group,
        licence_class="permissive",
    )


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(resolve("mini"), threads=1)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [row_of(clip) for clip in clips() if clip.language in FEW]


@pytest.fixture(scope="module")
def heard(encoder: Encoder, rows: list[Row]) -> Heard:
    plan = encoder.plan(OutputSpec("", 5, Pooling.MEAN_STD, ""), Windowing())
    return listen(encoder, [plan], rows, lambda *_: None)


@pytest.fixture(scope="module")
def probe(encoder: Encoder, heard: Heard) -> Probe:
    plan = encoder.plan(OutputSpec("", 5, Pooling.MEAN_STD, ""), Windowing())
    groups = tuple(f"{row.group}/{row.speaker}" for row in heard.rows)
    labels = tuple(row.language for row in heard.rows)
    examples = Examples(heard.vectors, labels, groups, (plan.space,))
    recipe = ProbeRecipe(strengths=(0.1,), folds=2)
    return train("tongue", 3, examples, recipe, background=None, tell=lambda *_: None)


def test_a_clip_is_heard_as_the_encoder_hears_it_alone(
    encoder: Encoder, heard: Heard, rows: list[Row]
) -> None:
    plan = encoder.plan(OutputSpec("", 5, Pooling.MEAN_STD, ""), Windowing())
    alone = listen(encoder, [plan], rows[3:4], lambda *_: None)
    np.testing.assert_allclose(alone.vectors[0], heard.vectors[3], atol=1e-4)
    assert heard.rows == tuple(rows)
    assert np.all(heard.speech_seconds <= [row.seconds + 0.1 for row in rows])
    np.testing.assert_allclose(np.linalg.norm(heard.vectors, axis=1), 1, atol=1e-5)


def test_clips_that_cannot_be_read_are_named(
    encoder: Encoder, probe: Probe, rows: list[Row], tmp_path: Path
) -> None:
    (tmp_path / "broken.opus").write_bytes(b"no sound")
    broken = replace(rows[0], path=tmp_path / "broken.opus")
    found, failed = ask(probe, encoder, {"a": [broken, rows[1]]}, "language", lambda *_: None)
    assert len(found["a"][1]) == 1
    assert "broken.opus" in failed[0]
    with pytest.raises(InvalidArgument, match="that can be read"):
        ask(probe, encoder, {"a": [broken]}, "language", lambda *_: None)


def test_what_was_learned_is_answered_and_measured(
    encoder: Encoder, probe: Probe, rows: list[Row]
) -> None:
    half = len(rows) // 2
    sets = {"first": rows[:half], "second": rows[half:]}
    told: list[tuple[str, int, int]] = []
    found, _ = ask(probe, encoder, sets, "language", lambda *at: told.append(at))
    assert {stage for stage, _, _ in told} == {"first", "second"}
    answers = {name: each for name, (_, each) in found.items()}
    outcome = Outcome("tongue", 3, answers, {"hum": (1.0, 14)})
    document = outcome.as_object()
    assert document["figures"]["clips"] == len(rows)
    assert document["figures"]["accuracy"] > 0.8
    assert document["figures"]["chance"] == pytest.approx(1 / len(FEW))
    assert {each["label"] for each in document["classes"]} == set(FEW)
    assert document["not_speech"] == {"hum": {"unknown": 1.0, "clips": 14}}
    titles = [title for title, _, _ in probe_tables.tables(outcome, 40)]
    assert titles[0].startswith("tongue")
    assert {"Labels", "What is not speech"} <= set(titles)


def test_mean_cepstra_stand_beside_it(
    encoder: Encoder, probe: Probe, heard: Heard, rows: list[Row]
) -> None:
    labels = np.array([row.language for row in heard.rows])
    baseline = cepstral(heard, labels)
    ((asked, answers),) = ask(probe, encoder, {"all": rows}, "language", lambda *_: None)[
        0
    ].values()
    beside = with_cepstra(answers, asked, baseline)
    assert beside.cepstra is not None
    # The same clips were learned on, so that it must do well.
    assert np.mean(beside.cepstra == beside.truth) > 1 / 2
    assert cepstral(heard, np.full(len(heard), "one")) is None


def test_digital_silence_is_never_answered(encoder: Encoder, probe: Probe) -> None:
    (said,) = told_of(probe, encoder, [np.zeros(32_000, np.float32)])
    assert said.unknown is UnknownReason.TOO_SHORT


def test_a_probe_of_another_model_is_refused(encoder: Encoder, probe: Probe) -> None:
    (space,) = probe.info.spaces
    with pytest.raises(SpaceMismatch, match="`probe` reads vectors of the space f00"):
        plans_of(encoder, [replace(space, fingerprint="f00")])


def test_numbers_are_not_evaluated_as_labels(encoder: Encoder, probe: Probe) -> None:
    other = Probe(replace(probe.info, task=ProbeTask.REGRESSION), probe.numbers)
    with pytest.raises(InvalidArgument, match="must answer one label"):
        ask(other, encoder, {}, "label", lambda *_: None)


def test_the_truth_has_one_name(rows: list[Row]) -> None:
    row = replace(rows[0], locale="por-BR", label="anger")
    assert label_of(row, "language", frozenset()) == "por"
    assert label_of(row, "label", frozenset({"angry"})) == "angry"
    assert label_of(row, "label", frozenset({"anger"})) == "anger"
    assert label_of(replace(row, label="word"), "label", frozenset()) == "word"
    assert common_emotion("calm") == "neutral"


def test_every_corpus_is_asked_about_after_every_other(heard: Heard) -> None:
    labels = np.array([row.language for row in heard.rows])
    thirds = [np.arange(at, len(heard), 3) for at in range(3)]
    sets = {f"set {at}": (heard.take(places), labels[places]) for at, places in enumerate(thirds)}
    found = list(crossings(sets))
    assert len(found) == 9
    assert sum(each.learned == OTHERS for each in found) == 3
    assert all(each.chance == pytest.approx(1 / each.labels) for each in found)
    joint = [each for each in found if each.learned == OTHERS]
    assert np.mean([each.unweighted_accuracy for each in joint]) > 2 / len(FEW)
    _title, columns, cells = probe_tables.crossed(found)
    assert len(cells) == 9
    assert len(columns) == len(cells[0])


def test_corpora_without_a_shared_label_are_not_compared(heard: Heard) -> None:
    labels = np.array([row.language for row in heard.rows])
    apart = np.char.add("other ", labels)
    assert list(crossings({"a": (heard, labels), "b": (heard, apart)})) == []
