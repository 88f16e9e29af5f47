import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.bench.calls import Totals
from embedsvc.bench.load import OK, Call


def call(
    due: float, took: float, code: str = OK, audio: float = 5.0, retry_after: float | None = None
) -> Call:
    return Call(due, due + 0.01, due + 0.01 + took, audio, code, retry_after)


CALLS = st.lists(
    st.builds(call, st.floats(0, 10), st.floats(0, 30), st.sampled_from([OK, "UNAVAILABLE"])),
    min_size=1,
    max_size=20,
)


@given(CALLS)
def test_no_more_is_answered_than_was_offered(calls: list[Call]) -> None:
    totals = Totals.of(calls, 10.0)
    assert totals.offered == pytest.approx(sum(each.audio for each in calls) / 10)
    assert totals.goodput <= totals.offered + 1e-9
    assert sum(totals.codes.values()) == totals.calls == len(calls)


def test_throughput_is_what_was_answered_up_to_the_last_answer() -> None:
    calls = [call(0, 2), call(1, 18.99), call(2, 40, "DEADLINE_EXCEEDED")]
    assert Totals.of(calls, 10.0).goodput == pytest.approx(10 / 20)


def test_latency_counts_from_when_the_caller_came_and_refusal_from_when_it_was_sent() -> None:
    late = Call(due=1.0, sent=4.0, done=5.0, audio=5.0, code=OK)
    refused = Call(due=1.0, sent=4.0, done=4.5, audio=5.0, code="RESOURCE_EXHAUSTED")
    totals = Totals.of([late, refused], 10.0)
    assert totals.latency["p50"] == pytest.approx(4.0)
    assert totals.refusal["max"] == pytest.approx(0.5)
    assert totals.lateness["p50"] == pytest.approx(3.0)


def test_refusals_that_say_when_to_come_again_are_counted() -> None:
    told = [call(0, 0, "RESOURCE_EXHAUSTED", retry_after=2.0)] * 3
    assert Totals.of([*told, call(0, 0, "UNAVAILABLE")], 1.0).told_when == 0.75
    assert Totals.of([call(0, 1)], 1.0).told_when is None
