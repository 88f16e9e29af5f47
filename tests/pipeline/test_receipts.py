from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc import errors
from embedsvc.errors import EmbedsvcError
from embedsvc.index import Added
from embedsvc.pipeline.receipts import Stored, note, settled, written
from embedsvc.types import AudioWarning, Timing, WarningCode


def family(kind: type[EmbedsvcError]) -> Iterator[type[EmbedsvcError]]:
    if kind.__module__ == errors.__name__:
        yield kind
    for child in kind.__subclasses__():
        yield from family(child)


KINDS = sorted(set(family(EmbedsvcError)), key=lambda kind: kind.__name__)
PASSING = (errors.Exhausted, errors.Unavailable)


def seen(stored: Stored) -> object:
    """Everything about a result that a retry must repeat, with the error as plain values."""
    error = stored.error
    if isinstance(error, EmbedsvcError):
        return type(error), error.message, error.field, error.facts, plain(stored)
    return type(error), plain(stored)


def plain(stored: Stored) -> Stored:
    return replace(stored, error=None, samples=0, frames=0)


found_errors = st.builds(
    lambda kind, message, field, facts: kind(message, field=field, **facts),
    st.sampled_from(KINDS),
    st.text(max_size=8),
    st.text(max_size=8),
    st.dictionaries(st.sampled_from(["seconds", "limit_seconds", "id"]), st.integers() | st.text()),
)
results = st.lists(
    st.builds(
        Stored,
        id=st.text(max_size=8),
        error=st.none() | found_errors,
        warnings=st.lists(
            st.builds(AudioWarning, st.sampled_from(WarningCode), st.text(max_size=8)), max_size=2
        ).map(tuple),
        unchanged=st.booleans(),
        segment_count=st.integers(0, 10**6),
        samples=st.integers(0, 10**9),
        frames=st.integers(0, 10**6),
        place=st.none(),
    ),
    max_size=4,
)


@settings(max_examples=80, deadline=None)
@given(results)
def test_a_retry_gets_the_answer_of_the_write(stored: list[Stored]) -> None:
    timing = Timing(total=2.0)
    first = written(Added(7), timing, stored)
    again = written(Added(7, replayed=True, note=note(stored)), timing)
    assert [seen(one) for one in again.results] == [seen(one) for one in first.results]
    assert (again.sequence, again.timing) == (7, timing)


def test_a_bug_stays_nobodys_business() -> None:
    text = note([Stored("a", error=RuntimeError("/secret/path"))])
    assert "secret" not in text
    (found,) = written(Added(1, note=text), Timing()).results
    assert isinstance(found.error, errors.Internal)
    assert found.error.message == "internal error"


def test_a_failure_in_the_write_reaches_the_submission_it_is_about() -> None:
    stored = [
        Stored("a", segment_count=3, place=0),
        Stored("b", error=errors.AudioEmpty("empty")),
        Stored("c", segment_count=4, place=1),
        Stored("d", unchanged=True),
    ]
    exists = errors.AlreadyExists("there is a c")
    found = written(Added(9, {1: exists}), Timing(), stored).results
    assert [one.error for one in found] == [None, stored[1].error, exists, None]
    assert [one.segment_count for one in found] == [3, 0, 0, 0]
    assert found[3].unchanged


def test_a_failure_in_the_write_is_repeated_to_a_retry() -> None:
    text = note([Stored("a", segment_count=3, place=0), Stored("b", place=1)])
    exists = errors.AlreadyExists("there is an a")
    added = Added(9, {0: exists}, replayed=True, note=text)
    found = written(added, Timing()).results
    assert [(one.id, one.error) for one in found] == [("a", exists), ("b", None)]


def test_what_an_earlier_write_did_counts_more_than_what_this_one_found() -> None:
    added = Added(9, replayed=True, note=note([Stored("a", segment_count=3)]))
    (found,) = written(added, Timing(), [Stored("a", segment_count=99)]).results
    assert found.segment_count == 3


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_kept_unless_it_may_be_another_one_later(kind: type[EmbedsvcError]) -> None:
    stored = [Stored("a"), Stored("b", error=kind("x"))]
    assert settled(stored) is not issubclass(kind, PASSING)


def test_a_bug_is_not_kept_and_success_is() -> None:
    assert not settled([Stored("a", error=RuntimeError("x"))])
    assert settled([Stored("a"), Stored("b", unchanged=True)])
    assert settled([])
