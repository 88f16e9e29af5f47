"""Codes of frames: kept with their recording, and gone with it."""

from dataclasses import replace
from pathlib import Path

import apsw
import numpy as np
import pytest

from embedsvc.errors import DataLoss, RecordingNotFound
from embedsvc.filters import Equals
from embedsvc.index import Candidates, Catalog, Coded, Collection, Reach, WriteMode
from embedsvc.types import Codes, Recording, Segment, Span
from tests.index.builders import SEGMENTATION, SMALL, coded, recording, space, vector

UPSERT = WriteMode.UPSERT
REACH = Reach(step=100, margin=2)


@pytest.fixture
def keeping(catalog: Catalog) -> Collection:
    """A collection that keeps codes."""
    return catalog.create("frames", space(), SEGMENTATION, b"a recipe")


def with_codes(id: str, codes: Codes, segments: int = 1, **labels: int) -> Recording:
    return replace(recording(id, 1, segments, metadata=labels), codes=codes)


def every(
    collection: Collection, label: int | None = None, but: str | None = None
) -> list[tuple[str, Coded]]:
    condition = None if label is None else Equals("label", label)
    with collection.codes.each(condition, but) as coding:
        runs = list(coding.runs)
        owners = coding.owners({run.rid for run in runs})
        return [(owners[run.rid].id, run) for run in runs]


def rows(folder: Path) -> int:
    (path,) = folder.glob("collections/*/rows.db")
    connection = apsw.Connection(str(path))
    count = connection.execute("SELECT count(*) FROM code").get
    connection.close()
    return int(count)


def test_codes_come_back_however_many_chunks_they_fill(keeping: Collection) -> None:
    long, short = coded(1, 3_000), coded(2, 1)
    keeping.add([with_codes("long", long), with_codes("short", short)], mode=UPSERT)
    np.testing.assert_array_equal(keeping.codes.of("long"), long)
    np.testing.assert_array_equal(keeping.codes.of("short"), short)
    runs = every(keeping)
    assert [name for name, _ in runs] == ["long"] * 3 + ["short"]
    np.testing.assert_array_equal(np.concatenate([run.codes for _, run in runs[:3]]), long)
    assert [run.first for _, run in runs] == [0, 1024, 2048, 0]


def test_a_filter_chooses_whose_codes(keeping: Collection) -> None:
    keeping.add(
        [with_codes(f"r{label}", coded(label), label=label) for label in range(4)], mode=UPSERT
    )
    assert [name for name, _ in every(keeping, 2)] == ["r2"]
    assert [name for name, _ in every(keeping, but="r2")] == ["r0", "r1", "r3"]


def test_a_recording_without_codes_has_none(keeping: Collection) -> None:
    keeping.add([recording("bare"), with_codes("coded", coded(1))], mode=UPSERT)
    assert [name for name, _ in every(keeping)] == ["coded"]
    for name in ("bare", "absent"):
        with pytest.raises(RecordingNotFound, match=name):
            keeping.codes.of(name)


def test_codes_go_with_their_recording(keeping: Collection, tmp_path: Path) -> None:
    keeping.add([with_codes("a", coded(1, 2_000)), with_codes("b", coded(2))], mode=UPSERT)
    keeping.add([with_codes("a", coded(3))], mode=UPSERT)
    np.testing.assert_array_equal(keeping.codes.of("a"), coded(3))
    keeping.delete(["a"])
    assert [name for name, _ in every(keeping)] == ["b"]
    assert rows(tmp_path / "data") == 1


def test_the_codes_around_candidates_are_joined_where_they_touch(keeping: Collection) -> None:
    codes = coded(1, 60)
    spans = [Span(0, 500), Span(400, 900), Span(3_000, 3_050), Span(5_900, 6_000)]
    item = replace(
        with_codes("a", codes),
        segments=tuple(Segment(span, vector(1)) for span in spans),
        length=6_000,
    )
    keeping.add([item, recording("bare")], mode=UPSERT)
    found, coding = keeping.codes.near(vector(1), Candidates(10, REACH))
    runs = list(coding.runs)
    assert len(found.hits) == 5
    places = [(run.first, run.first + len(run.codes)) for run in runs]
    assert places == [(0, 11), (28, 33), (57, 60)]
    (owner,) = coding.owners({run.rid for run in runs}).values()
    assert (owner.id, owner.length) == ("a", 6_000)
    for run, (first, end) in zip(runs, places, strict=True):
        np.testing.assert_array_equal(run.codes, codes[first:end])


def test_they_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    with Catalog(tmp_path / "data", SMALL) as catalog:
        kept = catalog.create("frames", space(), SEGMENTATION, b"a recipe")
        kept.add([with_codes("a", coded(1))], mode=UPSERT)
        catalog.create("plain", space(), SEGMENTATION)
    with Catalog(tmp_path / "data", SMALL) as catalog:
        assert catalog.get("frames").codes.recipe == b"a recipe"
        np.testing.assert_array_equal(catalog.get("frames").codes.of("a"), coded(1))
        assert catalog.get("plain").codes.recipe is None


def test_a_collection_made_before_there_were_codes_still_opens(tmp_path: Path) -> None:
    with Catalog(tmp_path / "data", SMALL) as catalog:
        catalog.create("old", space(), SEGMENTATION).add([recording("a")], mode=UPSERT)
    (path,) = (tmp_path / "data").glob("collections/*/rows.db")
    connection = apsw.Connection(str(path))
    connection.execute("DROP TABLE code")
    connection.close()
    with Catalog(tmp_path / "data", SMALL) as catalog:
        old = catalog.get("old")
        assert old.codes.recipe is None
        assert old.search(vector(0), 1).hits[0].id == "a"
        assert old.delete(["a"]).count == 1


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE code SET data = zeroblob(length(data)) WHERE first = 1024",
        "UPDATE code SET first = CASE first WHEN 0 THEN 1024 ELSE 0 END, cid = cid + 100",
        "DELETE FROM code WHERE first = 1024",
    ],
)
def test_damaged_codes_are_told_with_the_name(tmp_path: Path, harm: str) -> None:
    with Catalog(tmp_path / "data", SMALL) as catalog:
        kept = catalog.create("frames", space(), SEGMENTATION, b"a recipe")
        kept.add([with_codes("torn", coded(1, 3_000)), with_codes("b", coded(2))], mode=UPSERT)
    (path,) = (tmp_path / "data").glob("collections/*/rows.db")
    connection = apsw.Connection(str(path))
    connection.execute("DROP INDEX code_of_recording")
    connection.execute(harm + (" AND rid = 1" if "WHERE" in harm else " WHERE rid = 1"))
    connection.close()
    with Catalog(tmp_path / "data", SMALL) as catalog:
        kept = catalog.get("frames")
        for read in (lambda: kept.codes.of("torn"), lambda: every(kept)):
            with pytest.raises(DataLoss, match="'torn'"):
                read()
        np.testing.assert_array_equal(kept.codes.of("b"), coded(2))
        kept.delete(["torn"])
        assert [name for name, _ in every(kept)] == ["b"]
