import importlib
import json
from pathlib import Path

import pytest

from embedsvc.errors import FailedPrecondition
from embedsvc.feature_files import check_parquet, parquet, write_parquet
from embedsvc.feature_files.columns import Column
from embedsvc.types import DType, Pooling
from tests.feature_files.made import DIM, contents

COLUMNS: dict[str, Column] = {
    "speaker": ["anna", None, "jan"],
    "year": [1990, None, 2000],
    "id": ["x", "y", "z"],
}


def test_rows_have_what_is_known_of_their_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(parquet, "GROUP_BYTES", 2 * DIM * 4)
    write_parquet(tmp_path / "f.parquet", contents(tmp_path / "partial", [2, 0, 3], COLUMNS))
    file = reading.ParquetFile(tmp_path / "f.parquet")
    assert file.num_row_groups == 3
    rows = file.read().to_pylist()
    assert [row["vector"][0] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["path"] for row in rows] == ["dir/0.wav"] * 2 + ["dir/2.wav"] * 3
    assert [row["start"] for row in rows] == [0, 0.02, 0, 0.02, 0.04]
    assert [row["year"] for row in rows] == [1990, 1990, 2000, 2000, 2000]
    assert [row["metadata_id"] for row in rows] == ["x", "x", "z", "z", "z"]
    known = file.schema_arrow.metadata
    assert json.loads(known[b"embedsvc.facts"])["spaces"][""]["fingerprint"] == "f00"
    assert json.loads(known[b"embedsvc.failures"]) == {"dir/1.wav": "no sound"}


def test_what_is_missing_is_null_and_other_bytes_are_spelled(tmp_path: Path) -> None:
    reading = pytest.importorskip("pyarrow.parquet")
    columns: dict[str, Column] = {"speaker": [None, "\udcff"], "nothing": [None, None]}
    made = contents(
        tmp_path / "partial", [1, 2], columns, dtype=DType.FLOAT16, pooling=Pooling.NONE
    )
    write_parquet(tmp_path / "f.parquet", made)
    rows = reading.read_table(tmp_path / "f.parquet").to_pylist()
    assert [row["speaker"] for row in rows] == [None, "\\xff", "\\xff"]
    assert {row["nothing"] for row in rows} == {None}
    assert [row["end"] for row in rows] == [0.02, 0.02, 0.04]


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(FailedPrecondition, match=r"pip install 'embedsvc\[parquet\]'"):
        check_parquet()
