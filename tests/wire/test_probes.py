"""Probes as messages: both ways without loss, and what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.timing import FRAME
from embedsvc.types import (
    AnsweredSpan,
    Classification,
    Evidence,
    LabelScore,
    ProbeAnswer,
    ProbeRecipe,
    ProbeTask,
    Span,
    Timeline,
    UnknownReason,
)
from embedsvc.v1 import probe_pb2
from embedsvc.wire import probes
from tests.probes import toys

SAID = Classification(
    labels=("a",),
    scores=(LabelScore("a", 0.75), LabelScore("b", 0.25)),
    prediction_set=("a", "b"),
    evidence=Evidence(1.0, 2.0, 0.5, 0.25),
)
ANSWER = ProbeAnswer("x", 3, SAID, 1.5)


@pytest.mark.parametrize(
    "said",
    [
        SAID,
        replace(SAID, labels=(), unknown=UnknownReason.FAR),
        replace(SAID, labels=(), unknown=UnknownReason.TOO_SHORT),
        replace(SAID, labels=(), scores=(), value=0.0, interval=(-1.0, 1.0)),
    ],
)
def test_an_answer_comes_back(said: Classification) -> None:
    answer = replace(ANSWER, classification=said)
    assert probes.answer(probes.answer_message(answer)) == answer


def test_only_the_likeliest_labels_are_written() -> None:
    message = probes.answer_message(ANSWER, 1)
    assert [each.label for each in message.scores] == ["a"]
    many = replace(SAID, scores=tuple(LabelScore(str(n), 0.1) for n in range(9)))
    assert len(probes.answer_message(replace(ANSWER, classification=many)).scores) == 5


def test_spans_come_back() -> None:
    spans = (AnsweredSpan(Span(0, 8_000), ANSWER), AnsweredSpan(Span(8_000, 9_000), ANSWER))
    message = probes.timeline_answer_message("x@3", spans, 5)
    assert message.probe == "x@3"
    assert probes.answered_spans(message) == spans


def test_a_probe_comes_back() -> None:
    info = replace(toys.probe().info, license="CC0-1.0", about="drawn")
    message = probes.info_message(info, bundled=True)
    assert message.bundled
    assert probes.info(message) == info


@given(
    st.builds(
        ProbeRecipe,
        task=st.sampled_from(list(ProbeTask)),
        strengths=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=16).map(tuple),
        folds=st.integers(2, 20),
        balanced=st.booleans(),
        mix_layers=st.booleans(),
        calibration=st.sampled_from(probes.CALIBRATIONS),
        alpha=st.floats(0.001, 0.5),
        false_unknowns=st.floats(0.001, 0.5),
        min_speech_seconds=st.integers(0, 60 * 8).map(lambda part: part / 8),
        test_share=st.floats(0.05, 0.5),
        seed=st.integers(1, 2**32 - 1),
    )
)
def test_a_recipe_comes_back(recipe: ProbeRecipe) -> None:
    assert probes.recipe(probes.recipe_message(recipe)) == recipe


def test_an_empty_recipe_is_the_usual_one() -> None:
    assert probes.recipe(probe_pb2.ProbeRecipe()) == ProbeRecipe()


@given(st.integers(3, 40), st.integers(5, 60), st.integers(1, 100))
def test_a_timeline_comes_back(parts: int, hop: int, agree: int) -> None:
    timeline = Timeline(parts * hop * FRAME, hop * FRAME, agree)
    if 25 <= parts * hop <= 3_000:
        assert probes.timeline(probes.timeline_message(timeline)) == timeline


@given(st.integers(25, 3_000))
def test_the_usual_hop_of_any_window_is_one_that_is_accepted(frames: int) -> None:
    message = probe_pb2.Timeline()
    message.window.FromMilliseconds(frames * 20)
    timeline = probes.timeline(message)
    assert timeline.window == frames * FRAME
    assert not timeline.window % timeline.hop


def test_probes_are_named_once_each() -> None:
    assert probes.names(["a", "b"]) == ("a", "b")
    for given_ in ([], ["a", "a"], [str(n) for n in range(17)]):
        with pytest.raises(InvalidArgument, match="`probes` must be"):
            probes.names(given_)
