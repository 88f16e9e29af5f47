"""Finding moments: where they were put, in order, and whatever the blocks."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import Cancelled
from embedsvc.moments import Moment, Query, Seen, Stretch, find, search, units
from embedsvc.types import Codes, MomentMethod

DIM = 48
ORDERED = (MomentMethod.ALIGNMENT, MomentMethod.LOCAL)


def codes(seed: int, count: int) -> Codes:
    """Codes that are unlike each other, and like their neighbors."""
    steps = np.random.default_rng(seed).standard_normal((count + 2, DIM))
    smooth = steps[:-2] + steps[1:-1] + steps[2:]
    found: Codes = np.rint(smooth * 127 / np.abs(smooth).max(axis=1, keepdims=True)).astype(np.int8)
    return found


def looked(
    query: Codes,
    stretches: Sequence[Stretch],
    method: MomentMethod = MomentMethod.ALIGNMENT,
    count: int = 5,
    *,
    once: bool = False,
) -> Seen:
    return find(Query(units(query), method, count, once), stretches)


def best(*arguments: object, **options: object) -> Moment:
    return looked(*arguments, **options).moments[0]  # type: ignore[arg-type]  # those of looked


@pytest.mark.parametrize("method", list(MomentMethod))
@given(start=st.integers(0, 180), length=st.integers(4, 20), seed=st.integers(0, 20))
def test_a_slice_is_found_at_its_place(
    method: MomentMethod, start: int, length: int, seed: int
) -> None:
    archive = codes(seed, 200)
    found = best(archive[start : start + length], [Stretch(7, 100, archive)], method)
    assert found.recording == 7
    assert abs(found.start - (100 + start)) <= 1
    assert abs(found.end - (100 + start + length)) <= 1
    assert found.query == (0, length)


@pytest.mark.parametrize("method", ORDERED)
def test_order_matters(method: MomentMethod) -> None:
    archive = [Stretch(0, 0, codes(1, 300))]
    query = archive[0].codes[50:65]
    assert best(query[::-1], archive, method).score < best(query, archive, method).score - 0.2


def test_any_order_is_the_same_to_max_sim() -> None:
    archive = [Stretch(0, 0, codes(1, 300))]
    query = archive[0].codes[50:65]
    found = best(query[::-1], archive, MomentMethod.MAX_SIM)
    assert found.score == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("stretch", [0.6, 0.8, 1.0, 1.5, 2.0])
def test_other_tempos_are_followed(stretch: float) -> None:
    archive = codes(2, 400)
    places = np.arange(0, 40, 1 / stretch)
    said = archive[100:141].astype(float)
    low = places.astype(int)
    part = (places - low)[:, None]
    query = np.rint(said[low] * (1 - part) + said[low + 1] * part).astype(np.int8)
    found = best(query, [Stretch(0, 0, archive)])
    assert abs(found.start - 100) <= 3
    assert abs(found.end - 140) <= 3
    assert found.score > 0.8


def test_silence_around_is_not_part_of_a_local_match() -> None:
    archive = codes(3, 400)
    silence = np.zeros((15, DIM), np.int8)
    query = np.concatenate([silence, archive[200:220], silence])
    found = best(query, [Stretch(0, 0, archive)], MomentMethod.LOCAL)
    assert (found.start, found.end) == (200, 220)
    assert found.query == (15, 35)


@pytest.mark.parametrize("method", list(MomentMethod))
@pytest.mark.parametrize("length", [1, 6, 300])
def test_blocks_do_not_matter(
    method: MomentMethod, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = [codes(seed, size) for seed, size in enumerate((900, 5, 1_500, 40))]
    runs = [
        Stretch(number, first, each[first : first + 256])
        for number, each in enumerate(archive)
        for first in range(0, len(each), 256)
    ]
    query = codes(9, length)
    query[-min(length, 40) :] = archive[2][700 : 700 + min(length, 40)]
    whole = looked(query, runs, method, count=20)
    monkeypatch.setattr(search, "PIECE", 100)
    monkeypatch.setattr(search, "CELLS", 1_000)
    parts = looked(query, runs, method, count=20)
    assert parts.moments[0] == whole.moments[0]
    assert whole.codes == parts.codes == 2_445
    assert [each.score for each in parts.moments] == pytest.approx(
        [each.score for each in whole.moments], abs=1e-5
    )


def test_no_moment_reaches_into_another_recording() -> None:
    said = codes(1, 20)
    runs = [Stretch(0, 0, said[:10]), Stretch(1, 0, said[10:])]
    for method in MomentMethod:
        for moment in looked(said, runs, method, count=50).moments:
            assert 0 <= moment.start < moment.end <= 10


def test_moments_of_one_recording_do_not_overlap() -> None:
    archive = codes(1, 500)
    found = looked(archive[100:110], [Stretch(0, 0, archive)], count=30).moments
    assert len(found) == 30
    spans = sorted((moment.start, moment.end) for moment in found)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    scores = [moment.score for moment in found]
    assert scores == sorted(scores, reverse=True)


def test_a_recording_may_count_once() -> None:
    archive = [Stretch(number, 0, codes(number, 300)) for number in range(6)]
    query = archive[4].codes[10:20]
    once = looked(query, archive, count=10, once=True).moments
    every = looked(query, archive, count=200).moments
    assert sorted(moment.recording for moment in once) == list(range(6))
    for moment in once:
        assert moment.score == max(m.score for m in every if m.recording == moment.recording)


def test_a_query_longer_than_all_there_is_is_answered() -> None:
    said = codes(1, 12)
    query = np.concatenate([codes(2, 40), said, codes(3, 40)])
    found = best(query, [Stretch(0, 0, said)], MomentMethod.LOCAL)
    assert (found.start, found.end) == (0, 12)
    assert found.query == (40, 52)
    for method in MomentMethod:
        assert len(looked(query, [Stretch(0, 0, said)], method).moments) == 1


def test_nothing_is_found_in_nothing() -> None:
    assert looked(codes(1, 5), []) == Seen((), 0)


def test_a_search_that_nobody_waits_for_ends() -> None:
    asked: list[int] = []

    def runs() -> Sequence[Stretch]:
        return [Stretch(number, 0, codes(number, 1_000)) for number in range(400)]

    def stopped() -> bool:
        asked.append(1)
        return len(asked) > 1

    with pytest.raises(Cancelled):
        find(Query(units(codes(1, 600)), MomentMethod.ALIGNMENT, 5), runs(), stopped)
    assert len(asked) == 2
