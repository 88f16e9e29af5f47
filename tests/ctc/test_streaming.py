"""What is told as stable stays, and windows that overlap are read as one."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.audio import windows
from embedsvc.audio.windows import core_frames
from embedsvc.ctc import transcribe
from embedsvc.ctc.streaming import Agreement, Part, core_rows, stitch
from embedsvc.errors import InvalidArgument
from embedsvc.timing import FRAME, frame_count
from embedsvc.types import Span, Windowing, Word
from tests.ctc.made import PHONES, noise, said

HYPOTHESES = st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=8)


def words(texts: list[str], first: int = 0) -> tuple[Word, ...]:
    return tuple(
        Word(text, Span(10 * place, 10 * place + 8), 1.0, ())
        for place, text in enumerate(texts, first)
    )


def texts(found: tuple[Word, ...]) -> list[str]:
    return [word.text for word in found]


@settings(deadline=None)
@given(HYPOTHESES)
def test_nothing_stable_is_ever_taken_back(hypotheses: list[list[str]]) -> None:
    agreement = Agreement()
    for hypothesis in hypotheses:
        before, agreement = agreement, agreement.heard(words(hypothesis))
        assert agreement.stable[: len(before.stable)] == before.stable
        assert agreement.unstable == words(hypothesis)[len(agreement.stable) :]
    assert agreement.finished().stable == (*agreement.stable, *agreement.unstable)
    assert agreement.finished().unstable == ()


def test_what_two_hypotheses_begin_with_is_stable() -> None:
    agreement = Agreement().heard(words(["the", "cat"]))
    assert agreement.stable == ()
    agreement = agreement.heard(words(["the", "cap", "is"]))
    assert (texts(agreement.stable), texts(agreement.unstable)) == (["the"], ["cap", "is"])
    agreement = agreement.heard(words(["a", "cap", "is", "red"]))
    assert texts(agreement.stable) == ["the", "cap", "is"]
    assert texts(agreement.finished().stable) == ["the", "cap", "is", "red"]


def test_a_word_that_goes_back_and_forth_holds_up_what_is_behind_it_only_for_a_while() -> None:
    said = ["a", "b", "c", "d", "e", "f", "g"]
    waiting = patient = Agreement()
    for turn in range(2, len(said) + 1):
        heard = words([said[0], "b" if turn % 2 else "p", *said[2:turn]])
        waiting = waiting.heard(heard)
        patient = patient.heard(heard, settled=heard[-1].span.end - 20)
    assert texts(waiting.stable) == ["a"]
    assert texts(patient.stable)[2:] == ["c", "d", "e", "f"]
    assert texts(patient.unstable) == ["g"]


def test_a_hypothesis_may_be_of_the_end_alone() -> None:
    agreement = Agreement().heard(words(["a", "b"])).heard(words(["a", "b", "c"]))
    agreement = agreement.heard(words(["b", "c", "d"], first=1))
    assert texts(agreement.stable) == ["a", "b", "c"]
    assert texts(agreement.unstable) == ["d"]


@settings(deadline=None)
@given(st.text(".aʃ", min_size=2, max_size=60), st.integers(1, 20))
def test_hypotheses_that_only_grow_end_as_the_whole(path: str, every: int) -> None:
    log_probs = said(path, PHONES, 12)
    agreement = Agreement()
    for end in [*range(every, len(path), every), len(path)]:
        agreement = agreement.heard(transcribe(log_probs[:end], PHONES, frame=10).words)
    assert texts(agreement.finished().stable) == transcribe(log_probs, PHONES).text.split()


def parts_of(samples: int, seed: int) -> list[Part]:
    sound = np.random.default_rng(seed).normal(size=samples).astype(np.float32)
    whole = noise(seed, frame_count(samples), 4, 3)
    found = []
    for window in windows(sound, Windowing(16_000, 1_600)):
        first = window.span.start // FRAME
        rows = whole[first : first + frame_count(len(window.span))]
        found.append(Part(rows, window.span, window.core))
    return found


@settings(deadline=None)
@given(st.integers(560, 100_000), st.integers(0, 99))
def test_cores_are_read_as_the_whole(samples: int, seed: int) -> None:
    found = stitch(parts_of(samples, seed))
    whole = noise(seed, frame_count(samples), 4, 3)
    np.testing.assert_array_equal(found.log_probs, whole)
    assert transcribe(found.log_probs, PHONES, start=found.start) == transcribe(whole, PHONES)


@settings(deadline=None)
@given(st.integers(560, 100_000), st.integers(0, 99))
def test_the_frames_of_a_core_are_those_the_windows_say(samples: int, seed: int) -> None:
    sound = np.random.default_rng(seed).normal(size=samples).astype(np.float32)
    cut = windows(sound, Windowing(16_000, 1_600))
    for window in cut:
        part = Part(noise(0, frame_count(len(window.span)), 4), window.span, window.core)
        assert core_rows(part, last=window is cut[-1]) == core_frames(window)


@settings(deadline=None)
@given(st.lists(st.integers(4, 40), min_size=1, max_size=6), st.integers(0, 99))
def test_longer_frames_do_not_drift_where_windows_begin_between_them(
    lengths: list[int], seed: int
) -> None:
    ends = (np.cumsum([0, *lengths]) * FRAME).tolist()
    frame, context = 2 * FRAME, 3 * FRAME
    parts = []
    for start, end in pairwise(ends):
        span = Span(max(0, start - context), min(ends[-1], end + context))
        parts.append(Part(noise(seed, len(span) // frame, 4), span, Span(start, end)))
    found = stitch(parts, frame)
    assert abs(len(found.log_probs) - ends[-1] / frame) <= 1


def test_parts_that_do_not_follow_each_other_are_refused() -> None:
    rows = noise(0, 10, 4)
    first = Part(rows, Span(0, 3200), Span(0, 3200))
    with pytest.raises(InvalidArgument, match="ends at 3200 and the next begins at 3520"):
        stitch([first, Part(rows, Span(3520, 6720), Span(3520, 6720))])
    with pytest.raises(InvalidArgument, match="must have a window"):
        stitch([])
    with pytest.raises(InvalidArgument, match="heard by its window"):
        stitch(
            [Part(rows, Span(0, 3200), Span(0, 6400)), Part(rows, Span(0, 9600), Span(6400, 9600))]
        )
