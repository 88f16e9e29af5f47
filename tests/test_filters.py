import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.filters import (
    MAX_DEPTH,
    MAX_NODES,
    And,
    Equals,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Range,
    check,
    matches,
    parse,
    written,
)
from embedsvc.types import MetadataValue

FIELDS = ("language", "year", "x.y", "é-1", "_")

A, B, C = Equals("a", 1), Equals("b", 2), Equals("c", 3)

texts = st.sampled_from(["", "a", "pol", 'say "no"', "it's", "a\\", "\\'\n", "and", "0", "ż ó"])
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([-(2**63), 2**63 - 1, 0.5, -2.0, 1e-9, 1e300]),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.one_of(texts, numbers, st.booleans())
bounds = st.one_of(texts, numbers)
names = st.sampled_from(FIELDS)
ranges = st.builds(
    lambda field, set_bounds: Range(field, **set_bounds),
    names,
    st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), bounds, min_size=1),
)
leaves: st.SearchStrategy[Filter] = st.one_of(
    st.builds(Equals, names, values),
    st.builds(In, names, st.lists(values, min_size=1, max_size=3).map(tuple)),
    ranges,
    st.builds(Exists, names),
)


def joined(inner: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.one_of(st.builds(And, several), st.builds(Or, several), st.builds(Not, inner))


trees = st.recursive(leaves, joined, max_leaves=10)
recordings = st.lists(st.dictionaries(names, values), min_size=1, max_size=6)


def literal(value: MetadataValue, quote: str = '"') -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace(quote, f"\\{quote}")
        return f"{quote}{escaped}{quote}"
    return repr(value)


def printed(condition: Filter, quote: str) -> str:  # noqa: PLR0911  # one for each kind
    """The text of a filter, with parentheses everywhere."""
    match condition:
        case Equals(field, value):
            return f"{field} = {literal(value, quote)}"
        case In(field, wanted):
            return f"{field} in ({','.join(literal(value, quote) for value in wanted)})"
        case Range(field=field):
            limits = (f"{field}{sign}{literal(v, quote)}" for sign, v in condition.bounds())
            return f"({' AND '.join(limits)})"
        case Exists(field):
            return f"exists ( {field} )"
        case And(clauses):
            return f"({' and '.join(printed(clause, quote) for clause in clauses)})"
        case Or(clauses):
            return f"({' OR '.join(printed(clause, quote) for clause in clauses)})"
        case Not(clause):
            return f"not ({printed(clause, quote)})"


@settings(max_examples=150, deadline=None)
@given(tree=trees, recordings=recordings, quote=st.sampled_from("\"'"))
def test_a_printed_filter_means_the_same_when_it_is_read(
    tree: Filter, recordings: list[dict[str, MetadataValue]], quote: str
) -> None:
    found = parse(printed(tree, quote))
    for metadata in recordings:
        assert matches(found, metadata) == matches(tree, metadata)


@settings(max_examples=40, deadline=None)
@given(condition=leaves, metadata=st.dictionaries(names, values))
def test_a_condition_and_its_negation_never_both_hold(
    condition: Filter, metadata: dict[str, MetadataValue]
) -> None:
    assert matches(condition, metadata) is not matches(Not(condition), metadata)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1 or b = 2 and c = 3", Or((A, And((B, C))))),
        ("a = 1 and b = 2 or c = 3", Or((And((A, B)), C))),
        ("(a = 1 or b = 2) and c = 3", And((Or((A, B)), C))),
        ("not a = 1 and b = 2", And((Not(A), B))),
        ("not (a = 1 and b = 2)", Not(And((A, B)))),
        ("a=1 and b=2 and c=3", And((A, B, C))),
        ("not not not a = 1", Not(A)),
        ("not not a = 1", A),
        ("((a=1))", A),
        ("a != 1", Not(A)),
    ],
)
def test_or_binds_least_then_and_then_not(text: str, expected: Filter) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", Equals("a", 1)),
        ("a=1.0", Equals("a", 1.0)),
        ("a=-2e-3", Equals("a", -0.002)),
        ("a = true", Equals("a", value=True)),
        ("a = FALSE", Equals("a", value=False)),
        ("a = 'true'", Equals("a", "true")),
        ("a>=1", Range("a", gte=1)),
        ("a<=-1", Range("a", lte=-1)),
        ("a<'b'", Range("a", lt="b")),
        ("a> 0.5", Range("a", gt=0.5)),
        ("a IN ('x', 2, false)", In("a", ("x", 2, False))),
        ("EXISTS(a.b-c)", Exists("a.b-c")),
        ("exists a", Exists("a")),
        ("not exists a and b = 2", And((Not(Exists("a")), B))),
        ("język = 'pl'", Equals("język", "pl")),
        ("android = 1", Equals("android", 1)),
        ("  a\n=\t1  ", Equals("a", 1)),
    ],
)
def test_each_condition_is_read(text: str, expected: Filter) -> None:
    found = parse(text)
    assert found == expected
    assert repr(found) == repr(expected)  # 1, 1.0 and True are equal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'"a \"b\" c"', 'a "b" c'),
        (r"'it\'s'", "it's"),
        ('"it\'s"', "it's"),
        (r'"back\\slash"', "back\\slash"),
        (r'"\n"', "n"),
        ('"and (or) not, = <"', "and (or) not, = <"),
        ('""', ""),
        ('"two\nlines"', "two\nlines"),
    ],
)
def test_a_quoted_text_is_taken_as_it_is_but_for_escapes(text: str, value: str) -> None:
    assert parse(f"a = {text}") == Equals("a", value)


@pytest.mark.parametrize(
    ("text", "wanted", "found"),
    [
        ("", "a field name", "the end"),
        ("   ", "a field name", "the end"),
        ("a", "=, !=, <, <=, >, >= or in", "the end"),
        ("a b", "=, !=, <, <=, >, >= or in", "`b`"),
        ("a =", "a value", "the end"),
        ("a = b", "a quoted text, a number, true or false", "`b`"),
        ("a = )", "a quoted text, a number, true or false", "`)`"),
        ("a = " + "9" * 5000, "a shorter number", "`999"),
        ("a = 1 b = 2", "the end", "`b`"),
        ("a = 1)", "the end", "`)`"),
        ("a == 1", "a quoted text", "`=`"),
        ("(a = 1", "`)`", "the end"),
        ("a in 1", "`(`", "`1`"),
        ("a in ()", "a quoted text", "`)`"),
        ("a in (1 2)", "`)`", "`2`"),
        ("exists (a", "`)`", "the end"),
        ("exists", "a field name", "the end"),
        ("exists(and)", "a field name", "`and`"),
        ("or = 1", "a field name", "`or`"),
        ("a = 1 and", "a field name", "the end"),
        ("1 = a", "a field name", "`1`"),
        ("'a' = 1", "a field name", "`'a'`"),
        ("a < true", "a number or text after a comparison", "`true`"),
        ("a < true and b = 1", "a number or text after a comparison", "`true`"),
    ],
)
def test_an_error_says_what_must_stand_where(text: str, wanted: str, found: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert caught.value.field == "filter"
    assert f"must have {wanted}" in caught.value.message
    assert f"where it has {found}" in caught.value.message


@pytest.mark.parametrize(
    ("text", "place", "position"),
    [
        ('a = "open', '"open', 5),
        ("a = 1; drop", "; drop", 6),
        ("a & b", "& b", 3),
        (r"a = 'x\'", r"'x\'", 5),
    ],
)
def test_what_is_no_token_is_named(text: str, place: str, position: int) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert f"`{place}` there, at character {position}:" in caught.value.message


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 1),
        ("year >", 7),
        ("year >   ", 7),
        ("year > 3 language", 10),
        ("  (a = 1 or\n b ~= 2)", 16),
        ('language = "pol" and (year < true)', 30),
        ("a = 1 and not", 14),
    ],
)
def test_an_error_says_at_which_character(text: str, position: int) -> None:
    with pytest.raises(InvalidArgument, match=f"at character {position}:") as caught:
        parse(text)
    assert caught.value.facts["position"] == str(position)


@settings(max_examples=150, deadline=None)
@given(tree=trees, recordings=recordings)
def test_what_is_written_is_read_with_the_same_meaning(
    tree: Filter, recordings: list[dict[str, MetadataValue]]
) -> None:
    text = written(tree)
    found = parse(text)
    for metadata in recordings:
        assert matches(found, metadata) == matches(tree, metadata)
    assert parse(written(found)) == found


@pytest.mark.parametrize(
    "condition",
    [
        Equals("no word", 1),
        Equals("and", 1),
        Equals("1", 1),
        Equals("a", float("inf")),
        Equals("a", 10**50),
        In("a", ()),
        Range("a", gt=True),
        And(()),
        Not(Or(())),
    ],
)
def test_what_has_no_text_is_told(condition: Filter) -> None:
    with pytest.raises(InvalidArgument, match="must have a text form"):
        written(condition)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab10 ()=<>!,\"'\\.-andorinexists\n", max_size=30))
def test_any_text_is_a_filter_or_an_error_of_ours(text: str) -> None:
    with suppress(InvalidArgument):
        parse(text)


def test_nesting_is_limited() -> None:
    assert parse("(" * (MAX_DEPTH - 1) + "a = 1" + ")" * (MAX_DEPTH - 1)) == A
    for depth in (MAX_DEPTH, 10_000):
        with pytest.raises(InvalidArgument, match="nested at most 24 deep"):
            parse("(" * depth + "a = 1" + ")" * depth)


def test_many_negations_are_one() -> None:
    assert parse("not " * 5001 + "a = 1") == Not(A)


def test_a_tree_that_is_too_deep_is_refused() -> None:
    tree: Filter = A
    for _ in range(MAX_DEPTH - 1):
        tree = Not(tree)
    assert check(tree) is tree
    with pytest.raises(InvalidArgument, match="nested at most 24 deep, but is deeper"):
        check(Not(tree))


def test_the_number_of_conditions_is_limited() -> None:
    clauses = " or ".join(["a = 1"] * (MAX_NODES - 1))
    assert parse(clauses) == Or((A,) * (MAX_NODES - 1))
    with pytest.raises(InvalidArgument, match="at most 256 conditions, but has 257"):
        parse(f"{clauses} or a = 1")


def test_kinds_are_never_equal_and_never_ordered() -> None:
    for value in (True, 1, "1", "true"):
        for other in (True, 1, "1", "true"):
            same = json.dumps(value) == json.dumps(other)
            assert matches(Equals("a", value), {"a": other}) is same
            assert matches(In("a", (value,)), {"a": other}) is same
    assert matches(Equals("a", 1), {"a": 1.0})
    assert matches(Range("a", gt=0.5), {"a": 1})
    assert not matches(Range("a", gt=0), {"a": True})
    assert not matches(Range("a", gt=0), {"a": "1"})
    assert not matches(Range("a", gt="0"), {"a": 1})
    assert matches(Range("a", gt="0"), {"a": "1"})


def test_a_field_that_is_not_there_meets_no_condition() -> None:
    for condition in (A, In("a", (1,)), Range("a"), Range("a", lt=2), Exists("a")):
        assert not matches(condition, {"b": 1})
        assert matches(Not(condition), {"b": 1})


@pytest.mark.parametrize(
    ("condition", "held"),
    [
        (Range("a", gt=1), [2, 3]),
        (Range("a", gte=1), [1, 2, 3]),
        (Range("a", lt=2), [0, 1]),
        (Range("a", lte=2), [0, 1, 2]),
        (Range("a", gte=1, lt=3), [1, 2]),
        (Range("a", gt=2, lte=1), []),
        (Range("a", gt="b"), ["ba", "c"]),
        (Range("a", gte="b", lte="c"), ["b", "ba", "c"]),
    ],
)
def test_every_bound_of_a_range_must_hold(condition: Range, held: list[MetadataValue]) -> None:
    known: list[MetadataValue] = [0, 1, 2, 3, "a", "b", "ba", "c"]
    assert [value for value in known if matches(condition, {"a": value})] == held


def test_all_of_nothing_holds_and_any_of_nothing_does_not() -> None:
    assert matches(And(()), {})
    assert not matches(Or(()), {})
