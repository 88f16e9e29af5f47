import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.feature_files.columns import array, named, tabulate

values = st.one_of(
    st.none(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.booleans(),
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5),
)


@given(st.lists(values))
def test_any_column_is_an_array_without_objects(
    column: list[str | int | float | bool | None],
) -> None:
    made = array(column)
    assert made.shape == (len(column),)
    assert made.dtype.kind in "Uifb"


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_whole_numbers_stay_exact(column: list[int]) -> None:
    assert array(column).tolist() == column


def test_what_is_missing_is_nan_or_empty() -> None:
    np.testing.assert_array_equal(array([1, None, 3]), [1.0, np.nan, 3.0])
    assert array(["a", None]).tolist() == ["a", ""]
    assert array([True, None]).tolist() == ["true", ""]
    assert array([None, None]).tolist() == ["", ""]


@given(st.lists(st.text(max_size=3), unique=True), st.sets(st.sampled_from(["a", "b", "seconds"])))
def test_every_column_keeps_a_name_of_its_own(names: list[str], taken: set[str]) -> None:
    found = named({name: [place] for place, name in enumerate(names)}, taken)
    assert [column[0] for column in found.values()] == list(range(len(names)))
    assert not found.keys() & taken
    assert not any("/" in name or not name.isprintable() or not name for name in found)


def test_a_table_becomes_columns() -> None:
    rows: list[dict[str, str | int]] = [{"language": "eng"}, {}, {"language": "pol", "year": 1990}]
    assert tabulate(["language", "year"], rows) == {
        "language": ["eng", None, "pol"],
        "year": [None, None, 1990],
    }
