"""Which utterances are padded together, and to what length."""

from hypothesis import given
from hypothesis import strategies as st

from embedsvc.batching import forming
from embedsvc.encoder.padded.ladder import LEAST, NEIGHBOR, neighborhoods, rung

LENGTHS = st.integers(1, 30_000)


@given(LENGTHS)
def test_a_rung_is_little_longer(length: int) -> None:
    assert length <= rung(length) < max(length + LEAST, length * 9 / 8)
    assert rung(rung(length)) == rung(length)
    assert rung(length) <= rung(length + 1)


def test_there_are_few_rungs() -> None:
    windows = {rung(length) for length in range(1, 1001)}  # up to 20 s
    assert len(windows) == 32


@given(st.lists(LENGTHS, max_size=20))
def test_every_utterance_is_in_one_neighborhood(lengths: list[int]) -> None:
    found = neighborhoods(lengths)
    assert sorted(place for places in found for place in places) == list(range(len(lengths)))
    rungs = [rung(max(lengths[place] for place in places)) for places in found]
    assert len(set(rungs)) == len(rungs)
    for places, size in zip(found, rungs, strict=True):
        shortest = min(lengths[place] for place in places)
        longest = max(lengths[place] for place in places)
        assert shortest >= NEIGHBOR * longest or rung(shortest) == size


def test_a_batch_of_the_service_stays_whole() -> None:
    assert NEIGHBOR == forming.NEIGHBOR
