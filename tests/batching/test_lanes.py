import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.batching.lanes import WEIGHTS, Turns, ahead
from embedsvc.types import Lane

seconds = st.floats(0.001, 5)
backlogs = st.fixed_dictionaries(dict.fromkeys(Lane, st.floats(0, 100)))


def test_busy_lanes_share_the_encoder_by_their_weights() -> None:
    turns = Turns()
    had = dict.fromkeys(Lane, 0)
    for _ in range(1300):
        lane = turns.next(list(Lane))
        had[lane] += 1
        turns.charge(lane, 0.1)
    assert [had[lane] / 100 for lane in Lane] == pytest.approx([8, 4, 1], abs=0.02)


def test_the_urgent_lane_is_first_when_nobody_had_anything() -> None:
    assert Turns().next([Lane.BULK, Lane.INTERACTIVE, Lane.NORMAL]) is Lane.INTERACTIVE


def test_a_lane_that_was_empty_is_owed_nothing() -> None:
    turns = Turns()
    for _ in range(1000):
        turns.charge(turns.next([Lane.BULK]), 1)
    turns.wake(Lane.INTERACTIVE)
    served = []
    for _ in range(90):
        served.append(turns.next([Lane.BULK, Lane.INTERACTIVE]))
        turns.charge(served[-1], 1)
    assert served.count(Lane.BULK) == pytest.approx(10, abs=1)


@given(st.lists(seconds, min_size=20, max_size=60), st.sets(st.sampled_from(Lane), min_size=1))
def test_no_lane_starves(batches: list[float], waiting: set[Lane]) -> None:
    turns = Turns()
    had = dict.fromkeys(waiting, 0.0)
    for batch in batches:
        lane = turns.next(waiting)
        turns.charge(lane, batch)
        had[lane] += batch
    shares = [had[lane] / WEIGHTS[lane] for lane in waiting]
    assert max(shares) - min(shares) <= max(batches)


@given(backlogs, st.sampled_from(Lane), st.floats(0, 10))
def test_the_seconds_ahead_are_those_of_fair_sharing(
    backlog: dict[Lane, float], lane: Lane, own: float
) -> None:
    found = ahead(backlog, lane, own)
    assert backlog[lane] + own <= found <= sum(backlog.values()) + own + 1e-9


def test_an_urgent_call_waits_for_little_of_what_is_in_bulk() -> None:
    backlog = {Lane.INTERACTIVE: 1.0, Lane.NORMAL: 0.0, Lane.BULK: 100.0}
    assert ahead(backlog, Lane.INTERACTIVE, 1.0) == pytest.approx(2 + 2 / 8)
    assert ahead(backlog, Lane.BULK, 1.0) == pytest.approx(102)
