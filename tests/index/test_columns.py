import apsw
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.filters import And, Equals, Exists, Filter, In, Not, Or, Range, matches
from embedsvc.index import columns
from embedsvc.index.database import ROWS_SCHEMA, open_writer
from embedsvc.types import Metadata
from tests.index.test_where import EDGES, conditions, metadata, selected, store


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> apsw.Connection:
    return open_writer(tmp_path_factory.mktemp("columns") / "rows.db", "", ROWS_SCHEMA)


def put(connection: apsw.Connection, rows: list[Metadata], segments: int = 1) -> np.ndarray:
    """Store recordings of so many segments each; the sids of all, in order."""
    store(connection, rows)
    connection.execute("DELETE FROM segment")
    sids = np.arange(1, 1 + segments * len(rows), dtype=np.int64)
    for sid in sids.tolist():
        rid = (sid - 1) // segments
        connection.execute("INSERT INTO segment VALUES (?, ?, 0, 1)", (sid, rid))
    return sids


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(metadata, max_size=8),
    condition=conditions,
    segments=st.integers(1, 3),
)
def test_columns_allow_what_matches_and_sql_do(
    connection: apsw.Connection, rows: list[Metadata], condition: Filter, segments: int
) -> None:
    held = columns.read(connection, put(connection, rows, segments))
    mask = held.mask(condition)
    assert mask is not None
    expected = [matches(condition, labels) for labels in rows]
    assert mask.tolist() == [each for each in expected for _ in range(segments)]
    assert np.flatnonzero(expected).tolist() == selected(connection, condition)


def test_every_number_compares_exactly_in_columns_of_every_kind(
    connection: apsw.Connection,
) -> None:
    whole = [value for value in EDGES if type(value) is int]
    fractions = [value for value in EDGES if type(value) is float]
    for values in (whole, fractions, EDGES):
        rows: list[Metadata] = [{"a": value} for value in values]
        held = columns.read(connection, put(connection, rows))
        for bound in [*EDGES, 2**63, float("nan"), float("inf"), -float("inf"), 0.5]:
            for condition in (
                Equals("a", bound),
                In("a", (*range(20), bound)),
                Range("a", gt=bound),
                Range("a", gte=bound),
                Range("a", lt=bound),
                Range("a", lte=bound),
            ):
                mask = held.mask(condition)
                assert mask is not None
                assert mask.tolist() == [matches(condition, labels) for labels in rows]


def test_the_code_of_a_field_is_as_small_as_its_values_are_few(
    connection: apsw.Connection,
) -> None:
    rows: list[Metadata] = [{"few": n % 200, "many": n} for n in range(300)]
    held = columns.read(connection, put(connection, rows))
    assert held.columns["few"].codes.dtype == np.uint8
    assert held.columns["many"].codes.dtype == np.uint16
    assert held.nbytes == 300 * 3


def test_segments_that_are_gone_have_no_fields(connection: apsw.Connection) -> None:
    sids = put(connection, [{"a": 1}, {"a": 2}, {"a": 3}])
    connection.execute("DELETE FROM segment WHERE sid = 2")
    held = columns.read(connection, sids)
    for condition, expected in (
        (Exists("a"), [True, False, True]),
        (Equals("a", 2), [False, False, False]),
        (Range("a", gte=2), [False, False, True]),
    ):
        mask = held.mask(condition)
        assert mask is not None
        assert mask.tolist() == expected


def test_what_does_not_fit_is_left_to_the_tables(
    connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "MAX_TEXTS", 5)
    rows: list[Metadata] = [{"name": f"n{n}", "language": f"l{n % 3}"} for n in range(9)]
    held = columns.read(connection, put(connection, rows))
    assert held.left_out == {"name"}
    language, name = Equals("language", "l1"), Equals("name", "n1")
    assert held.mask(language) is not None
    assert held.mask(Exists("nothing of the kind")) is not None
    for condition in (name, Not(name), And((language, name)), Or((language, Not(name)))):
        assert held.mask(condition) is None


def test_columns_never_hold_more_than_their_bound(
    connection: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "BYTES_PER_SEGMENT", 2)
    held = columns.read(connection, put(connection, [{"a": 1, "b": 2, "c": 3}] * 4))
    assert held.left_out == {"c"}
    assert held.nbytes <= 2 * 4


def test_no_segments_have_columns_of_no_length(connection: apsw.Connection) -> None:
    put(connection, [{"a": 1}])
    held = columns.read(connection, np.zeros(0, np.int64))
    mask = held.mask(Not(Exists("a")))
    assert mask is not None
    assert mask.tolist() == []
