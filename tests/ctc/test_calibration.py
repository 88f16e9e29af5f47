"""Calibrated confidence is the share that is right, and is stored as plain values."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from embedsvc.ctc import Calibration, ConfidenceMeasure, transcribe
from embedsvc.ctc.calibration import MOST_KNOTS, WordCurve, from_json
from embedsvc.ctc.confidence import cooled
from embedsvc.ctc.fitting import Example, fit, isotonic, temperature, told, told_of_words
from embedsvc.ctc.measures import judge
from embedsvc.errors import InvalidArgument
from tests.ctc.made import PHONES, TEXT, noise, normalized

SEEDS = st.integers(0, 999)


def speech(seed: int, count: int, overconfident: float = 3.0) -> list[Example]:
    """Utterances whose head is right as often as its logits, divided by a number, tell."""
    rng = np.random.default_rng(seed)
    return [utterance(rng, overconfident) for _ in range(count)]


def utterance(rng: np.random.Generator, overconfident: float) -> Example:
    truth = normalized(rng.normal(size=(12, 4)).astype(np.float32) * 2)
    probs = np.exp(truth[:, 1:].astype(np.float64))
    said = tuple(1 + int(rng.choice(3, p=row / row.sum())) for row in probs)
    log_probs = np.full((24, 4), -50, np.float32)
    log_probs[::2, 1:] = truth[:, 1:] * overconfident
    log_probs[1::2, 0] = 0
    return Example(normalized(log_probs), said)


def test_a_temperature_is_found_again() -> None:
    rng = np.random.default_rng(0)
    true = normalized(rng.normal(size=(4000, 6)).astype(np.float32) * 2).astype(np.float64)
    labels = [int(rng.choice(6, p=np.exp(row) / np.exp(row).sum())) for row in true]
    assert temperature(cooled(true, 1 / 3), labels) == pytest.approx(3, rel=0.1)
    assert temperature(cooled(true, 2), labels) == pytest.approx(1 / 2, rel=0.1)


@pytest.mark.parametrize("measure", ConfidenceMeasure)
def test_calibrated_confidence_is_the_share_that_is_right(measure: ConfidenceMeasure) -> None:
    fitted = fit(speech(0, 300), PHONES, [measure])
    fresh = speech(1, 300)
    plain = judge(*told(fresh, PHONES, Calibration(measure)))
    figures = judge(*told(fresh, PHONES, fitted))
    assert figures.ece < 0.05 < plain.ece
    assert figures.auc is not None
    assert figures.nce is not None
    assert figures.auc > 0.7
    assert figures.nce > 0.1
    assert fitted.measure is measure
    assert fitted.method.endswith("+isotonic/v1")
    assert figures.nce > (plain.nce or 0)


def test_the_best_calibration_tells_at_least_as_much_as_either_measure() -> None:
    examples, fresh = speech(0, 300), speech(1, 300)
    best = fit(examples, PHONES)

    def worth(calibration: Calibration) -> float:
        return judge(*told(fresh, PHONES, calibration)).nce or 0

    each = [fit(examples, PHONES, [measure]) for measure in ConfidenceMeasure]
    assert best in each
    assert worth(best) > max(map(worth, each)) - 0.01


def test_confidence_that_is_told_is_that_of_the_transcript() -> None:
    examples = speech(0, 60)
    fitted = fit(examples, PHONES)
    confidence, _ = told(examples[:5], PHONES, fitted)
    written = [
        word.confidence
        for each in examples[:5]
        for word in transcribe(each.log_probs, PHONES, calibration=fitted).words
    ]
    assert written == pytest.approx(confidence.tolist())


@settings(deadline=None)
@given(SEEDS, st.integers(1, 600))
def test_a_curve_rises_and_never_claims_certainty(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    confidence = np.round(rng.random(count), 2)
    raw, curve = isotonic(confidence, rng.random(count) < confidence**2)
    assert list(raw) == sorted(set(raw))
    assert list(curve) == sorted(curve)
    assert 0 < curve[0] <= curve[-1] < 1
    assert 0 <= raw[0] <= raw[-1] <= 1
    restored = from_json(json.loads(json.dumps(Calibration(raw=raw, told=curve).to_json())))
    assert restored == Calibration(raw=raw, told=curve)


def test_a_curve_is_near_that_of_another_isotonic_regression() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)
    right = rng.random(20_000) < confidence**3
    raw, curve = isotonic(confidence, right)
    reference = IsotonicRegression().fit(confidence, right)
    at = np.linspace(0.05, 0.95, 50)
    assert np.abs(np.interp(at, raw, curve) - reference.predict(at)).mean() < 0.02


def test_many_tokens_make_no_more_knots_than_are_stored() -> None:
    confidence = np.linspace(0, 1, 200_000)
    raw, _ = isotonic(confidence, np.random.default_rng(0).random(200_000) < confidence)
    assert len(raw) <= MOST_KNOTS


def test_too_little_speech_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least 100 tokens"):
        fit(speech(0, 3), PHONES)
    with pytest.raises(InvalidArgument, match="fits into it"):
        fit([Example(noise(0, 2, 4), (1, 1))], PHONES)


def sentences(seed: int, count: int) -> list[Example]:
    """Words of two to six letters, each letter as often another as its probability tells."""
    rng = np.random.default_rng(seed)
    return [sentence(rng) for _ in range(count)]


def sentence(rng: np.random.Generator) -> Example:
    said, rows = [], []
    for place in range(6):
        letters = int(rng.integers(2, 7))
        for _ in range(letters):
            heard, sure = int(rng.integers(1, 4)), float(rng.uniform(0.4, 0.999))
            row = np.full(len(TEXT.labels), 1e-9)
            row[1:4] = (1 - sure) / 2
            row[heard] = sure
            said.append(
                heard if rng.random() < sure else 1 + (heard - 1 + int(rng.integers(1, 3))) % 3
            )
            rows += [row, np.eye(len(TEXT.labels))[0] + 1e-9]
        if place < 5:
            said.append(4)
            rows += [np.eye(len(TEXT.labels))[4] + 1e-9, np.eye(len(TEXT.labels))[0] + 1e-9]
    return Example(normalized(np.log(np.array(rows)).astype(np.float32)), tuple(said))


def test_confidence_in_a_word_is_the_share_of_words_that_are_right() -> None:
    fitted = fit(sentences(0, 300), TEXT, [ConfidenceMeasure.PROBABILITY])
    assert fitted.method.endswith("+isotonic+words/v1")
    fresh = sentences(1, 300)
    means = judge(*told_of_words(fresh, TEXT, Calibration()))
    words = judge(*told_of_words(fresh, TEXT, fitted))
    assert words.ece < 0.05 < means.ece
    assert (words.nce or 0) > max(0.1, means.nce or 0)


def test_phones_have_no_curve_of_words() -> None:
    assert fit(speech(0, 300), PHONES).words is None


def test_a_word_of_many_doubtful_letters_is_doubted_more() -> None:
    calibration = Calibration(words=WordCurve((0.0, 1.0), (0.0, 0.9)))
    assert calibration.of_word([0.9]) == pytest.approx(0.81)
    assert calibration.of_word([0.9] * 5) < calibration.of_word([0.9] * 2)
    assert Calibration().of_word([0.9] * 5) == pytest.approx(0.9)


GOOD = Calibration(ConfidenceMeasure.PROBABILITY, 1.5, (0.1, 0.5), (0.2, 0.9)).to_json()


def test_a_calibration_comes_back_from_its_values() -> None:
    assert from_json(json.loads(json.dumps(GOOD))).to_json() == GOOD
    assert from_json(Calibration().to_json()) == Calibration()
    words = Calibration(words=WordCurve((0.1, 0.5), (0.2, 0.9)))
    assert from_json(json.loads(json.dumps(words.to_json()))) == words


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        GOOD | {"more": 1},
        GOOD | {"measure": "magic"},
        GOOD | {"measure": []},
        GOOD | {"temperature": 0},
        GOOD | {"temperature": float("nan")},
        GOOD | {"temperature": True},
        GOOD | {"temperature": "1"},
        GOOD | {"raw": [0.1]},
        GOOD | {"raw": [0.5, 0.1]},
        GOOD | {"raw": [0.5, 0.5]},
        GOOD | {"told": [0.9, 0.2]},
        GOOD | {"told": [0.2, 1.1]},
        GOOD | {"told": "ab"},
        GOOD | {"words": None},
        GOOD | {"words": {"raw": [], "told": []}},
        GOOD | {"words": {"raw": [0.1]}},
        GOOD | {"words": {"raw": [0.5, 0.1], "told": [0.2, 0.9]}},
        GOOD | {"raw": [i / 5000 for i in range(5000)], "told": [0.5] * 5000},
    ],
)
def test_what_is_no_calibration_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidArgument, match="`calibration`"):
        from_json(wrong)


def test_a_calibrated_transcript_is_named_and_read_off_the_curve() -> None:
    log_probs = noise(3, 20, 4, 3)
    plain = transcribe(log_probs, PHONES)
    curve = Calibration(raw=(0.0, 1.0), told=(0.25, 0.75))
    told_now = transcribe(log_probs, PHONES, calibration=curve)
    assert told_now.method == "probability+isotonic/v1"
    for before, after in zip(plain.words, told_now.words, strict=True):
        assert after.confidence == pytest.approx(0.25 + before.confidence / 2)
