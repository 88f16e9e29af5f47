from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from embedsvc.batching.forming import NEIGHBOR, Rule, form, near_enough
from embedsvc.batching.jobs import Job
from embedsvc.types import Lane
from tests.batching.bench import ask, digest, utterance


def job(length: int, depth: int = 0, arrived: float = 0.0, lane: Lane = Lane.NORMAL) -> Job:
    frames = utterance(0, length)
    return Job(frames, ask(depth), digest(frames), lane, arrived)


def lengths(jobs: Sequence[Job]) -> list[int]:
    return [len(each) for each in jobs]


def drained(line: list[Job], rule: Rule, now: float) -> list[list[Job]]:
    """The batches of a lane until nothing is left."""
    batches = []
    while line:
        batches.append(form(line, [], rule, now))
        line = [each for each in line if each not in batches[-1]]
    return batches


jobs = st.lists(
    st.builds(job, st.integers(1, 60), st.integers(0, 2), st.floats(0, 10)), max_size=30
)
lines = jobs.map(lambda some: sorted(some, key=lambda each: each.arrived)).filter(bool)
rules = st.builds(Rule, st.integers(1, 120), st.booleans(), st.integers(0, 50), st.floats(0, 10))


def test_a_packed_batch_is_the_oldest_and_what_fits_beside_it() -> None:
    line = [job(length) for length in (40, 70, 30, 40, 20)]
    assert lengths(form(line, [job(10)], Rule(100), 0)) == [40, 30, 20, 10]


def test_what_is_longer_than_a_batch_runs_alone() -> None:
    for padded in (False, True):
        assert lengths(form([job(500), job(1)], [job(1)], Rule(100, padded), 0)) == [500]


def test_a_padded_batch_is_of_neighbors_in_length() -> None:
    line = [job(length) for length in (10, 98, 11, 99, 100, 12, 50)]
    assert lengths(form(line, [], Rule(300, padded=True, knee=100), 0)) == [100, 99, 98]


def test_the_oldest_goes_first_when_it_waited_for_too_long() -> None:
    line = [job(length) for length in (10, 98, 11, 99, 100, 12, 50)]
    rule = Rule(300, padded=True, knee=100, age=1)
    assert lengths(form(line, [], rule, now=1.1)) == [12, 11, 10]


def test_padding_is_counted_in_the_budget() -> None:
    line = [job(100), *(job(75) for _ in range(9))]
    rule = Rule(300, padded=True, knee=0, age=0)
    assert lengths(form(line, [], rule, now=1)) == [100, 75, 75]


@given(lines, rules, st.floats(0, 20))
def test_every_job_runs_exactly_once(line: list[Job], rule: Rule, now: float) -> None:
    batches = drained(line, rule, now)
    ran = [each for batch in batches for each in batch]
    assert sorted(map(id, ran)) == sorted(map(id, line))


@given(lines, rules, st.floats(0, 20))
def test_no_batch_is_larger_than_its_budget_or_of_two_depths(
    line: list[Job], rule: Rule, now: float
) -> None:
    for batch in drained(line, rule, now):
        assert len({each.depth for each in batch}) == 1
        assert len(batch) == 1 or sum(rule.costed(lengths(batch))) <= rule.budget


@given(lines, rules)
def test_whoever_waited_too_long_is_next(line: list[Job], rule: Rule) -> None:
    now = line[0].arrived + rule.age + 0.001
    assert line[0] in form(line, [], rule, now)


@given(lines, rules, st.floats(0, 20))
def test_nobody_is_padded_far(line: list[Job], rule: Rule, now: float) -> None:
    if rule.padded:
        for batch in drained(line, rule, now):
            assert min(lengths(batch)) >= NEIGHBOR * max(lengths(batch))


@given(lines, lines, rules, st.floats(0, 20))
def test_other_lanes_only_fill_up(
    line: list[Job], others: list[Job], rule: Rule, now: float
) -> None:
    batch = form(line, others, rule, now)
    assert any(each in line for each in batch)


def test_near_is_the_same_both_ways() -> None:
    assert near_enough(70, 100)
    assert near_enough(100, 70)
    assert not near_enough(69, 100)
