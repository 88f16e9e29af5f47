import numpy as np
import pytest

from embedsvc.evaluation import answers
from embedsvc.evaluation.answers import Answers
from embedsvc.types import Classification, Evidence, LabelScore, UnknownReason

LABELS = ("deu", "eng", "fra")


def said(
    first: str, sure: float, unknown: UnknownReason | None = None, chosen: str = ""
) -> Classification:
    """An answer whose other labels share what is left of certainty."""
    rest = [label for label in LABELS if label != first]
    scores = [LabelScore(first, sure), *(LabelScore(each, (1 - sure) / 2) for each in rest)]
    return Classification(
        labels=() if unknown else (first,),
        scores=tuple(scores),
        prediction_set=tuple(chosen.split()) or (first,),
        evidence=Evidence(0.0, 0.0, 0.0, 0.5),
        unknown=unknown,
    )


FAR, SHORT = UnknownReason.FAR, UnknownReason.TOO_SHORT
GIVEN = Answers(
    LABELS,
    0.1,
    np.array(["deu", "deu", "eng", "eng", "por"]),
    np.array([1.0, 2.0, 2.0, 8.0, 2.0], np.float32),
    (
        said("deu", 0.9),
        said("eng", 0.6, chosen="deu eng"),
        said("eng", 0.8, FAR),
        said("fra", 0.5, SHORT),
        said("fra", 0.4, FAR),
    ),
    cepstra=np.array(["deu", "deu", "deu", "deu", "deu"]),
)


def test_figures_are_of_clips_whose_truth_has_a_label() -> None:
    found = answers.figures(GIVEN)
    assert found["clips"] == 4
    assert found["chance"] == pytest.approx(1 / 3)
    assert found["majority"] == pytest.approx(1 / 2)
    assert found["accuracy"] == pytest.approx(2 / 4)
    assert found["unweighted_accuracy"] == pytest.approx(1 / 2)
    assert found["mfcc_accuracy"] == pytest.approx(1 / 2)
    assert found["coverage"] == pytest.approx(3 / 4)
    assert found["mean_set"] == pytest.approx(5 / 4)


def test_an_unknown_answer_is_not_counted_among_those_given() -> None:
    found = answers.figures(GIVEN)
    assert found["false_unknowns"] == pytest.approx(2 / 4)
    assert found["false_unknowns_of_enough_speech"] == pytest.approx(1 / 3)
    assert found["answered_right"] == pytest.approx(1 / 4)
    assert found["accuracy_answered"] == pytest.approx(1 / 2)


def test_among_the_labels_of_a_test_the_others_do_not_compete() -> None:
    found = answers.figures(GIVEN)
    assert found["labels_present"] == 2
    assert found["chance_among_present"] == pytest.approx(1 / 2)
    # The fourth clip was taken for French, and German stands before English among equals.
    assert found["accuracy_among_present"] == pytest.approx(2 / 4)


def test_probabilities_before_calibration_have_an_error_of_their_own() -> None:
    # Four clips in bins of their own: two are right by 0.02, two wrong by 0.98.
    raw = np.tile([0.98, 0.01, 0.01], (5, 1))
    given = Answers(LABELS, 0.1, GIVEN.truth, GIVEN.seconds, GIVEN.told, raw)
    assert answers.figures(given)["ece_before"] == pytest.approx(0.5)


def test_labels_are_told_apart() -> None:
    german, english = answers.by_label(GIVEN)
    assert (german["label"], german["clips"], german["right"]) == ("deu", 2, 1)
    assert (english["recall"], english["precision"]) == (0.5, 0.5)
    assert (english["answered"], english["answered_right"]) == (0, 0)


def test_lengths_are_told_apart() -> None:
    found = dict(answers.by_length(GIVEN))
    assert {name: each["clips"] for name, each in found.items()} == {
        "0-1.5 s": 1,
        "1.5-3 s": 2,
        "over 6 s": 1,
    }


def test_the_surest_come_first() -> None:
    found = answers.selective(GIVEN)
    assert [each["accuracy"] for each in found] == [1.0, 1.0, 1.0, 1.0, 0.5]
    assert [each["clips"] for each in found] == [1, 1, 1, 2, 4]


def test_what_was_taken_for_what_adds_up() -> None:
    shares = answers.confusion(GIVEN)
    for truth in ("deu", "eng", "por"):
        assert sum(share for (of, _), share in shares.items() if of == truth) == pytest.approx(1)
    assert shares["eng", answers.UNKNOWN] == 1


def test_labels_that_a_probe_does_not_have_are_asked_about_too() -> None:
    assert GIVEN.left_out.truth.tolist() == ["por"]
    assert answers.reasons(GIVEN.left_out.told) == {"far": 1}


def test_sounds_are_counted_by_kind() -> None:
    found = answers.unknown_rates(["hum", "hum", "bell"], GIVEN.told[1:4])
    assert found == {"hum": (0.5, 2), "bell": (1.0, 1)}


def test_without_a_known_clip_there_are_no_figures() -> None:
    nothing = GIVEN.left_out
    assert answers.figures(nothing) == {}
    assert answers.selective(nothing) == []
