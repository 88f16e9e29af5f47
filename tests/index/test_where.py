import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.filters import And, Equals, Exists, Filter, In, Not, Or, Range, kind, matches
from embedsvc.index.database import ROWS_SCHEMA, open_writer
from embedsvc.index.where import KINDS, MAX_VALUES, where
from embedsvc.types import Metadata

EDGES = [0, -0.0, 1, 1.0, 2**53, 2.0**53, 2**53 + 1, 2**63 - 1, 2.0**63, -(2**63), -(2.0**63)]
BEYOND = [2**63, 2**64 + 1, -(2**63) - 1, 2**1100, -(2**1100)]

fields = st.sampled_from(["a", "b", "c.d"])
texts = st.one_of(
    st.sampled_from(["", "a", "A", "é", "z\x00", "z", "\uffff", "\U0001f600", "1", "true"]),
    st.text(st.characters(codec="utf-8"), max_size=3),
)
floats = st.floats(allow_nan=False, allow_infinity=False)
ints = st.integers(-(2**63), 2**63 - 1)
values = st.one_of(st.booleans(), st.sampled_from(EDGES), ints, floats, texts).filter(
    lambda value: not isinstance(value, int) or -(2**63) <= value < 2**63
)
asked = st.one_of(values, st.sampled_from(BEYOND), st.floats())
bounds = st.none() | asked
conditions: st.SearchStrategy[Filter] = st.recursive(
    st.one_of(
        st.builds(Equals, fields, asked),
        st.builds(In, fields, st.lists(asked, max_size=4).map(tuple)),
        st.builds(Range, fields, gt=bounds, gte=bounds, lt=bounds, lte=bounds),
        st.builds(Exists, fields),
    ),
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)
metadata = st.dictionaries(fields, values, max_size=3)


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> apsw.Connection:
    return open_writer(tmp_path_factory.mktemp("where") / "rows.db", "", ROWS_SCHEMA)


def store(connection: apsw.Connection, rows: list[Metadata]) -> None:
    connection.execute("DELETE FROM recording; DELETE FROM label")
    for rid, labels in enumerate(rows):
        connection.execute("INSERT INTO recording VALUES (?, ?, '', 0, '', 0, 0)", (rid, str(rid)))
        for key, value in labels.items():
            connection.execute(
                "INSERT INTO label VALUES (?, ?, ?, ?)", (rid, key, KINDS[kind(value)], value)
            )


def selected(connection: apsw.Connection, condition: Filter | None) -> list[int]:
    part = where(condition)
    sql = f"SELECT r.rid FROM recording r WHERE {part.sql} ORDER BY r.rid"
    return [row[0] for row in connection.execute(sql, part.values)]


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(metadata, max_size=8), condition=conditions)
def test_sql_selects_what_matches_says(
    connection: apsw.Connection, rows: list[Metadata], condition: Filter
) -> None:
    store(connection, rows)
    expected = [rid for rid, labels in enumerate(rows) if matches(condition, labels)]
    assert selected(connection, condition) == expected


@pytest.mark.parametrize("bound", [*EDGES, *BEYOND, float("inf"), float("-inf"), 0.5, -0.5])
def test_every_number_compares_exactly_with_every_bound(
    connection: apsw.Connection, bound: float
) -> None:
    rows: list[Metadata] = [{"a": value} for value in [*EDGES, 1e300, -1e300, 2.0**64]]
    store(connection, rows)
    for condition in (
        Equals("a", bound),
        Range("a", gt=bound),
        Range("a", gte=bound),
        Range("a", lt=bound),
        Range("a", lte=bound),
    ):
        expected = [rid for rid, labels in enumerate(rows) if matches(condition, labels)]
        assert selected(connection, condition) == expected


def test_no_filter_selects_all(connection: apsw.Connection) -> None:
    store(connection, [{}, {"a": 1}])
    assert selected(connection, None) == [0, 1]


def test_text_of_a_filter_is_never_sql(connection: apsw.Connection) -> None:
    store(connection, [{"a": "x'); DROP TABLE label; --"}])
    assert selected(connection, Equals("a", "x'); DROP TABLE label; --")) == [0]
    assert selected(connection, Exists("a') OR 1 --")) == []
    assert selected(connection, Exists("a")) == [0]


def test_too_many_values_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="at most 10000 values"):
        where(In("a", tuple(range(MAX_VALUES))))


def test_a_filter_nested_too_deep_is_refused() -> None:
    condition: Filter = Exists("a")
    for _ in range(30):
        condition = Not(condition)
    with pytest.raises(InvalidArgument, match="nested"):
        where(condition)


@pytest.mark.parametrize("condition", [Equals("a", "\ud800"), Exists("\udfff")])
def test_half_a_surrogate_pair_is_refused(condition: Filter) -> None:
    with pytest.raises(InvalidArgument, match="surrogate"):
        where(condition)
