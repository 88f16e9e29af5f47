"""Where a recording is cut into segments."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.pipeline.cutting import EDGE, LONGEST, PAUSE, Cutter, Piece
from embedsvc.timing import FRAME
from embedsvc.types import Floats, Vocabulary

LETTERS = Vocabulary(("", "a", "b", "|"), 0, space=3)
PHONES = Vocabulary(("", "a", "b", "c"), 0)
EDGE_FRAMES, PAUSE_FRAMES, LONGEST_FRAMES = EDGE // FRAME, PAUSE // FRAME, LONGEST // FRAME


def said(labels: list[int]) -> Floats:
    """Log-probabilities in which each of the labels is the likeliest of its frame."""
    probs = np.full((len(labels), 4), 0.1, np.float32)
    probs[np.arange(len(labels)), labels] = 0.7
    # No two frames alike, so that a piece tells where it is from.
    probs[:, 2] += np.linspace(0, 1e-3, len(labels))
    return np.log(probs)


def cut(labels: list[int], vocabulary: Vocabulary = PHONES, portion: int = 10_000) -> list[Piece]:
    cutter = Cutter(vocabulary, FRAME)
    log_probs = said(labels)
    pieces: list[Piece] = []
    for start in range(0, len(labels), portion):
        pieces += cutter.push(log_probs[start : start + portion])
    return pieces + list(cutter.finish())


def best(piece: Piece) -> list[int]:
    return [int(label) for label in piece.log_probs.argmax(axis=1)]


labels = st.lists(
    st.tuples(st.sampled_from([0, 1, 1, 2, 3]), st.integers(1, 400)), min_size=1, max_size=12
).map(lambda runs: [label for label, count in runs for _ in range(count)])


@settings(max_examples=60, deadline=None)
@given(labels, st.sampled_from([LETTERS, PHONES]), st.integers(1, 900))
def test_pieces_hold_all_that_is_said_whatever_the_portions(
    spoken: list[int], vocabulary: Vocabulary, portion: int
) -> None:
    pieces = cut(spoken, vocabulary)
    in_portions = cut(spoken, vocabulary, portion)
    assert [piece.start for piece in pieces] == [piece.start for piece in in_portions]
    log_probs, seen = said(spoken), np.zeros(len(spoken), np.int64)
    for piece, same in zip(pieces, in_portions, strict=True):
        np.testing.assert_array_equal(piece.log_probs, same.log_probs)
        end = piece.start + len(piece.log_probs)
        np.testing.assert_array_equal(piece.log_probs, log_probs[piece.start : end])
        assert len(piece.log_probs) <= LONGEST_FRAMES
        assert any(best(piece)), "somebody speaks"
        seen[piece.start : end] += 1
    assert (seen[np.array(spoken) != 0] == 1).all()
    assert seen.max() <= 2, "the edges of a pause may be in two"


def test_a_pause_ends_a_segment_and_a_shorter_one_does_not() -> None:
    spoken = [1] * 30 + [0] * (PAUSE_FRAMES - 1) + [2] * 30 + [0] * PAUSE_FRAMES + [1] * 20
    first, second = cut(spoken)
    assert len(first.log_probs) == 30 + PAUSE_FRAMES - 1 + 30 + EDGE_FRAMES
    assert second.start == len(spoken) - 20 - EDGE_FRAMES
    assert best(second) == [0] * EDGE_FRAMES + [1] * 20


def test_long_speech_is_cut_at_the_last_space_or_the_longest_quiet() -> None:
    spoken = ([1] * 9 + [3]) * 150
    first, second = cut(spoken, LETTERS)
    assert best(second)[0] == 3
    assert second.start == LONGEST_FRAMES - 1
    quiet = [1] * 600 + [0] * 3 + [1] * 100 + [0] * 11 + [1] * 400
    first, second = cut(quiet)
    assert len(first.log_probs) + len(second.log_probs) == len(quiet)
    assert best(first)[-5:] == [0] * 5
    assert best(second)[:5] == [0] * 5


def test_nobody_who_speaks_makes_no_segment() -> None:
    assert cut([0] * 3_000) == []


def test_what_is_held_does_not_grow_with_silence() -> None:
    cutter = Cutter(PHONES, FRAME)
    assert not list(cutter.push(said([0] * 5_000)))
    assert cutter.held() is None
    assert not list(cutter.push(said([1] * 3)))
    held = cutter.held()
    assert held is not None
    assert len(held.log_probs) == EDGE_FRAMES + 3


def test_frames_without_sound_are_quiet_whatever_the_head_says() -> None:
    cutter = Cutter(PHONES, FRAME)
    nothing = np.zeros(200, np.bool_)
    assert not [*cutter.push(said([1] * 200), nothing), *cutter.finish()]
    heard = np.array([True] * 40 + [False] * 100 + [True] * 39)
    # The last frame may have no samples of its own to tell of.
    first, second = [*cutter.push(said([2] * 180), heard), *cutter.finish()]
    assert len(first.log_probs) == EDGE_FRAMES + 40 + EDGE_FRAMES
    assert len(second.log_probs) == EDGE_FRAMES + 40
