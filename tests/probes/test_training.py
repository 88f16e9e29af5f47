import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from embedsvc.errors import Cancelled, InvalidArgument, TensorShape
from embedsvc.probes import Examples, from_files, to_files, train
from embedsvc.types import ProbeRecipe, ProbeTask, UnknownReason
from tests.probes.speakers import Crowd, picked, silent, space, strange, trained

CROWD = Crowd()
EXAMPLES = CROWD.examples()
PROBE = trained(EXAMPLES, background=strange(100, CROWD.dim))
REPORT = json.loads(PROBE.info.report)


def of_fresh_speakers(crowd: Crowd) -> tuple[float, float]:
    """What a probe says of itself, and what it reaches with other speakers of the same labels."""
    examples = replace(crowd, speakers=3 * crowd.speakers).examples()
    known = np.array([int(name.split()[1]) % 3 == 0 for name in examples.groups])
    probe = trained(picked(examples, known))
    told = probe(examples.vectors[~known])
    truth = np.asarray(examples.labels)[~known]
    right = [each.scores[0].label == label for each, label in zip(told, truth, strict=True)]
    return probe.info.figures["accuracy"], float(np.mean(right))


def test_a_probe_tells_labels_apart_in_speakers_that_it_has_not_met() -> None:
    assert PROBE.info.figures["unweighted_accuracy"] > 0.9
    assert PROBE.info.figures["chance"] == 0.25
    assert PROBE.info.labels == tuple(f"label {n}" for n in range(4))


def test_figures_hold_for_other_speakers_when_groups_are_given_and_only_then() -> None:
    # Few loud voices: whoever splits by chance learns to know the speakers.
    crowd = Crowd(labels=3, speakers=20, utterances=10, dim=40, apart=0.25, voice=1.5)
    told, reached = of_fresh_speakers(crowd)
    assert abs(told - reached) < 0.12
    alone = crowd.examples()
    fooled = trained(replace(alone, groups=("",) * len(alone)))
    assert fooled.info.figures["accuracy"] > reached + 0.3
    codes = [each["code"] for each in json.loads(fooled.info.report)["warnings"]]
    assert "NO_GROUPS" in codes


def test_no_group_is_learned_from_and_tested_on() -> None:
    split = REPORT["split"]
    assert split["learned_groups"] + split["tested_groups"] == 4 * 16
    assert split["learned"] + split["tested"] == len(EXAMPLES)
    assert 0.1 < split["tested"] / len(EXAMPLES) < 0.3


def test_what_is_no_speech_is_unknown_and_speech_is_not() -> None:
    assert PROBE.info.figures["unknown_background"] == 1
    assert PROBE.info.figures["unknown_known"] < 0.15
    assert {each.unknown for each in PROBE(strange(50, 16, seed=8))} == {UnknownReason.FAR}
    assert np.mean([bool(each.unknown) for each in PROBE(EXAMPLES.vectors)]) < 0.06


def test_labels_that_are_left_out_are_asked_about() -> None:
    probe = trained(Crowd(labels=10, dim=32, voice=0.5, apart=1.5).examples())
    assert probe.info.figures["unknown_left_out"] > 0.5
    assert "unknown_left_out" not in PROBE.info.figures


def test_the_same_examples_and_seed_make_the_same_probe() -> None:
    again = trained(EXAMPLES, background=strange(100, CROWD.dim))
    assert again.info.digest == PROBE.info.digest
    for name, array in again.numbers.arrays().items():
        np.testing.assert_array_equal(array, PROBE.numbers.arrays()[name])
    other = trained(EXAMPLES, ProbeRecipe(seed=2))
    assert other.info.digest != PROBE.info.digest


def test_progress_never_goes_back_and_ends_at_the_end() -> None:
    told: list[tuple[int, int, str]] = []
    train("x", 1, EXAMPLES, ProbeRecipe(), background=None, tell=lambda *row: told.append(row))
    assert told[0] == (0, 1, "splitting")
    assert all(a[0] <= b[0] and a[1] == b[1] for a, b in pairwise(told[1:]))
    assert told[-1][0] == told[-1][1]
    assert {"choosing", "cross-validation", "fitting"} <= {what for *_, what in told}


def test_a_training_can_be_cancelled_at_any_look() -> None:
    def tell(done: int, total: int, what: str) -> None:
        if what == "fitting":
            raise Cancelled("nobody waits")

    with pytest.raises(Cancelled):
        train("x", 1, EXAMPLES, ProbeRecipe(), background=None, tell=tell)


def test_the_layer_that_tells_most_is_chosen() -> None:
    chance = np.random.default_rng(1)
    dull = chance.normal(size=(len(EXAMPLES), 8)).astype(np.float32)
    several = replace(
        EXAMPLES,
        vectors=np.hstack([dull, EXAMPLES.vectors, dull, dull]),
        spaces=(space(8, 1), space(16, 2), space(8, 3), space(8, 4)),
    )
    probe = trained(several)
    assert [each.layer for each in probe.info.spaces] == [2]
    assert probe.info.figures["unweighted_accuracy"] > 0.9
    assert len(probe(EXAMPLES.vectors[:3])) == 3


def test_layers_are_mixed_when_asked_for() -> None:
    chance = np.random.default_rng(1)
    dull = chance.normal(size=EXAMPLES.vectors.shape).astype(np.float32)
    several = replace(
        EXAMPLES,
        vectors=np.hstack([dull, EXAMPLES.vectors]),
        spaces=(space(16, 1), space(16, 2)),
    )
    probe = trained(several, ProbeRecipe(mix_layers=True))
    assert len(probe.info.spaces) == 2
    dull_weight, told_weight = (
        each["weight"] for each in json.loads(probe.info.report)["chosen"]["layers"]
    )
    assert told_weight > 0.8 > dull_weight
    assert probe.info.figures["unweighted_accuracy"] > 0.9


def test_a_baseline_stands_beside_the_probe() -> None:
    dull = np.random.default_rng(1).normal(size=(len(EXAMPLES), 5)).astype(np.float32)
    probe = trained(replace(EXAMPLES, baseline=dull))
    assert probe.info.figures["baseline_unweighted_accuracy"] < 0.45
    codes = [each["code"] for each in json.loads(probe.info.report)["warnings"]]
    assert "NO_BASELINE" not in codes
    assert "NO_BASELINE" in [each["code"] for each in REPORT["warnings"]]


def test_of_few_speakers_each_is_tested_on() -> None:
    chance = np.random.default_rng(4)
    label, speaker = np.arange(240) % 3, np.arange(240) // 40
    vectors = np.eye(3)[label] @ chance.normal(size=(3, 16)) + chance.normal(size=(6, 16))[speaker]
    vectors += 0.3 * chance.normal(size=vectors.shape)
    examples = Examples(
        vectors.astype(np.float32),
        tuple("abc"[at] for at in label),
        tuple(f"speaker {at}" for at in speaker),
        (space(16),),
    )
    report = json.loads(trained(examples).info.report)
    assert report["split"]["tested"] == 240
    assert report["split"]["splits"] == 5
    assert "FEW_TEST_GROUPS" in {each["code"] for each in report["warnings"]}


def several_labels(seed: int = 0) -> Examples:
    chance = np.random.default_rng(seed)
    ways = chance.normal(size=(3, 16))
    voices = 0.5 * chance.normal(size=(60, 16))
    speaker = np.repeat(np.arange(60), 8)
    there = chance.random((480, 3)) < (0.3, 0.5, 0.1)
    vectors = there @ (2 * ways) + voices[speaker] + 0.5 * chance.normal(size=(480, 16))
    names = np.array(["loud", "fast", "happy"])
    return Examples(
        vectors.astype(np.float32),
        tuple(", ".join(names[row]) for row in there),
        tuple(f"s{n}" for n in speaker),
        (space(16),),
    )


def test_any_number_of_labels_is_told_of_one_utterance() -> None:
    examples = several_labels()
    probe = trained(examples, ProbeRecipe(task=ProbeTask.MULTI_LABEL))
    assert probe.info.labels == ("fast", "happy", "loud")
    assert probe.info.figures["macro_f1"] > 0.8
    assert probe.info.figures["mean_average_precision"] > 0.85
    assert probe.info.figures["coverage"] > 0.82
    counts = {len(each.labels) for each in probe(examples.vectors)}
    assert counts >= {0, 1, 2}


def numbers(seed: int = 0) -> Examples:
    chance = np.random.default_rng(seed)
    way, voices = chance.normal(size=16), chance.normal(size=(80, 16))
    speaker = np.repeat(np.arange(80), 6)
    age = chance.uniform(20, 70, 480)
    vectors = np.outer(age / 10, way) + 0.5 * voices[speaker] + chance.normal(size=(480, 16))
    return Examples(
        vectors.astype(np.float32),
        tuple(f"{each:.3f}" for each in age),
        tuple(f"s{n}" for n in speaker),
        (space(16),),
    )


def test_numbers_are_told_with_an_interval() -> None:
    examples = numbers()
    probe = trained(examples, ProbeRecipe(task=ProbeTask.REGRESSION), background=strange(50, 16))
    figures = probe.info.figures
    assert figures["mae"] < figures["mae_of_the_mean"] / 2
    assert figures["r2"] > 0.7
    assert figures["concordance"] > 0.8
    assert figures["spearman"] > 0.8
    assert abs(figures["coverage"] - 0.9) < 0.1
    first = probe(examples.vectors[:1])[0]
    assert first.value is not None
    assert first.interval is not None
    assert first.interval[0] < first.value < first.interval[1]
    assert abs(first.value - float(examples.labels[0])) < 20
    assert {each.unknown for each in probe(strange(20, 16))} == {UnknownReason.FAR}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"labels": ("one",) * len(EXAMPLES)}, "labels"),
        ({"labels": EXAMPLES.labels[:-1]}, "labels"),
        ({"labels": ("", *EXAMPLES.labels[1:])}, "labels"),
        ({"labels": ("x" * 201, *EXAMPLES.labels[1:])}, "labels"),
        ({"labels": ("\a", *EXAMPLES.labels[1:])}, "labels"),
        ({"groups": EXAMPLES.groups[:-1]}, "groups"),
        ({"groups": ("one",) * len(EXAMPLES)}, "groups"),
        ({"groups": tuple(str(n % 2) for n in range(len(EXAMPLES)))}, "groups"),
        ({"spaces": (space(15),)}, "vectors"),
        ({"spaces": ()}, "spaces"),
        ({"vectors": np.full_like(EXAMPLES.vectors, np.nan)}, "vectors"),
        ({"vectors": EXAMPLES.vectors[:, 0]}, "vectors"),
        ({"baseline": np.ones((3, 2), np.float32)}, "baseline"),
    ],
)
def test_examples_that_nothing_can_be_learned_from_are_refused(
    change: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        trained(replace(EXAMPLES, **change))  # type: ignore[arg-type]
    assert caught.value.field == field
    assert f"`{field}`" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"folds": 1},
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"strengths": ()},
        {"strengths": (0.0,)},
        {"calibration": "hope"},
        {"test_share": 0.9},
        {"false_unknowns": -0.1},
        {"min_speech_seconds": -1},
        {"seed": -1},
    ],
)
def test_a_recipe_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        trained(EXAMPLES, ProbeRecipe(**change))  # type: ignore[arg-type]
    assert caught.value.field == next(iter(change))


def test_layers_of_several_widths_cannot_be_mixed() -> None:
    both = replace(
        EXAMPLES,
        vectors=np.hstack([EXAMPLES.vectors, EXAMPLES.vectors[:, :8]]),
        spaces=(space(16), space(8, 2)),
    )
    with pytest.raises(InvalidArgument, match="mix_layers"):
        trained(both, ProbeRecipe(mix_layers=True))


@pytest.mark.parametrize("background", [np.ones((3, 4)), np.full((3, 16), np.inf)])
def test_background_of_another_space_is_refused(background: np.ndarray) -> None:
    with pytest.raises(TensorShape, match="background"):
        trained(EXAMPLES, background=background.astype(np.float32))


def test_labels_of_a_regression_are_numbers() -> None:
    with pytest.raises(InvalidArgument, match="numbers"):
        trained(EXAMPLES, ProbeRecipe(task=ProbeTask.REGRESSION))


def test_names_license_and_time_are_on_the_card() -> None:
    probe = train(
        "tiny",
        3,
        EXAMPLES,
        ProbeRecipe(),
        background=None,
        license="CC0-1.0",
        about="x",
        tell=silent,
    )
    info = probe.info
    assert (info.name, info.version, info.license, info.about) == ("tiny", 3, "CC0-1.0", "x")
    assert info.created_at > 1.7e9


@pytest.mark.slow
def test_a_probe_with_very_many_labels_still_fits_its_files() -> None:
    count = 2600
    chance = np.random.default_rng(0)
    label = np.repeat(np.arange(count // 2), 3)
    vectors = chance.normal(size=(count // 2, 8))[label] + 0.1 * chance.normal(size=(len(label), 8))
    examples = Examples(
        vectors.astype(np.float32),
        tuple(f'"{"ж" * 150}{at}' for at in label),
        ("",) * len(label),
        (space(8),),
    )
    probe = trained(examples, ProbeRecipe(strengths=(1.0,), folds=2))
    files = to_files(probe)
    assert from_files(files.tensors, files.card).info == probe.info


def test_a_description_that_would_not_fit_the_card_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="about"):
        train("x", 1, EXAMPLES, ProbeRecipe(), background=None, about="x" * 10_001, tell=silent)
