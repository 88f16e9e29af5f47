import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.batching.cache import Cache, size_of
from embedsvc.types import Ask, Encoded, Moments

ASK = Ask((0,))


def answer(numbers: int) -> Encoded:
    return Encoded({0: np.zeros((numbers, 1), np.float32)}, {})


def test_the_size_of_an_answer_is_that_of_its_arrays() -> None:
    vector = np.zeros(8, np.float32)
    moments = Moments(3, vector, vector, vector)
    assert size_of(Encoded({1: np.zeros((3, 8), np.float32)}, {1: (moments, moments)})) == 288


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    cache = Cache(0)
    cache.put((b"a", ASK), answer(1))
    assert cache.get((b"a", ASK)) is None
    assert (cache.hits, cache.bytes) == (0, 0)


def test_other_wishes_of_the_same_audio_are_other_answers() -> None:
    cache = Cache(100)
    cache.put((b"a", ASK), answer(1))
    assert cache.get((b"a", Ask((1,)))) is None
    assert cache.get((b"a", ASK)) is not None


@given(st.lists(st.tuples(st.binary(max_size=1), st.integers(0, 12)), max_size=60))
def test_it_never_holds_more_than_its_bytes(puts: list[tuple[bytes, int]]) -> None:
    cache = Cache(40)
    for digest, numbers in puts:
        cache.put((digest, ASK), answer(numbers))
        assert cache.bytes <= 40
        kept = cache.get((digest, ASK))
        assert kept is not None or numbers > 10
