import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import DataLoss, InvalidArgument
from embedsvc.feature_files import FeatureFile, load, reader, write_npz
from embedsvc.feature_files.columns import Column
from embedsvc.feature_files.facts import Facts
from embedsvc.types import DType, Pooling, Segmentation
from tests.feature_files.made import DIM, contents, space

COLUMNS: dict[str, Column] = {
    "speaker": ["anna", "jan", "anna", None, "jan"],
    "room": ["a", "a", "b", "b", "a"],
    "seconds": [1, 2, 3, 4, 5],
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    made = contents(tmp_path / "partial", [2, 1, 3, 1, 2], COLUMNS)
    write_npz(tmp_path / "f.npz", made)
    return tmp_path / "f.npz"


@pytest.fixture
def file(written: Path) -> FeatureFile:
    return load(written)


@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(any),
    names=st.sampled_from([("",), ("layer_2", "layer_4")]),
    dtype=st.sampled_from(list(DType)),
    pooling=st.sampled_from([Pooling.MEAN, Pooling.NONE]),
)
def test_numpy_and_the_reader_see_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    counts: list[int],
    names: tuple[str, ...],
    dtype: DType,
    pooling: Pooling,
) -> None:
    folder = tmp_path_factory.mktemp("npz")
    columns = {"text": [f"é{place}" for place in range(len(counts))]}
    made = contents(folder / "partial", counts, columns, names=names, dtype=dtype, pooling=pooling)
    write_npz(folder / "f.npz", made)
    file = load(folder / "f.npz")
    with np.load(folder / "f.npz", allow_pickle=False) as arrays:
        assert set(arrays) == set(file.arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, file.arrays[name])
            assert array.dtype == file.arrays[name].dtype
    assert file.outputs == names
    for name in names:
        assert file.rows(name).shape == (sum(counts), DIM)
        assert file.rows(name).dtype == np.dtype(dtype.value)
        assert file.rows(name)[:, 0].tolist() == list(range(sum(counts)))
        assert file.space(name) == space(pooling)
    assert len(file.failures) == counts.count(0)


def test_arrays_begin_where_they_can_be_mapped(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MAPPED_BYTES", 0)
    file = load(written)
    assert isinstance(file.rows(), np.memmap)
    assert all(array.ctypes.data % 64 == 0 for array in file.arrays.values() if array.size)
    with pytest.raises(ValueError, match="read-only"):
        file.rows()[0] = 1
    with zipfile.ZipFile(written) as archive:
        assert archive.testzip() is None


def test_labels_are_repeated_for_the_rows_of_a_recording(file: FeatureFile) -> None:
    assert file.column("room").tolist() == ["a", "a", "b", "b", "a"]
    assert file.labels("room").tolist() == list("aaabbbbaa")
    assert file.recording(2)[:, 0].tolist() == [3, 4, 5]
    assert file.recordings().tolist() == [0, 0, 1, 2, 2, 2, 3, 4, 4]


def test_groups_are_never_parted(file: FeatureFile) -> None:
    assert file.groups().tolist() == file.recordings().tolist()
    speakers = file.groups("speaker")
    assert speakers.tolist() == [0, 0, 1, 0, 0, 0, 2, 1, 1]
    assert len(set(file.groups("speaker", "room").tolist())) == 4


def test_a_column_with_one_of_our_names_gets_another_and_keeps_its_own(file: FeatureFile) -> None:
    assert file.seconds.tolist() == [0.04, 0.02, 0.06, 0.02, 0.04]
    assert file.column("seconds").tolist() == [1, 2, 3, 4, 5]
    assert file.arrays["metadata_seconds"].tolist() == [1, 2, 3, 4, 5]
    assert file.columns == ("speaker", "room", "seconds")


def test_spans_are_in_seconds(file: FeatureFile) -> None:
    assert file.spans is not None
    np.testing.assert_allclose(file.spans[3:6], [[0, 0.02], [0.02, 0.04], [0.04, 0.06]])


def test_what_is_not_there_is_named(file: FeatureFile) -> None:
    with pytest.raises(InvalidArgument, match="speaker, room, seconds, but is 'voice'"):
        file.labels("voice")
    with pytest.raises(InvalidArgument, match="`output` must be one of '', but is 'x'"):
        file.rows("x")


def test_a_name_that_is_not_utf_8_comes_back(tmp_path: Path) -> None:
    columns = {"odd": ["\udcff\udcfe"]}
    write_npz(tmp_path / "f.npz", contents(tmp_path / "partial", [1], columns))
    assert load(tmp_path / "f.npz").column("odd").tolist() == ["\udcff\udcfe"]


def test_what_is_no_file_of_features_is_refused(tmp_path: Path, written: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"no zip")
    with pytest.raises(DataLoss, match=r"must be an \.npz of features"):
        load(path)
    np.savez(path, vectors=np.ones(3))
    with pytest.raises(DataLoss, match="lacks 'failed_paths'"):
        load(path)
    np.savez_compressed(path, vectors=np.ones(3))
    with pytest.raises(DataLoss, match="compressed"):
        load(path)
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(DataLoss, match="plain rows"):
        load(path)
    path.write_bytes(written.read_bytes()[:-100])
    with pytest.raises(DataLoss):
        load(path)


def test_facts_come_back() -> None:
    facts = Facts({"a": space()}, DType.FLOAT16, Segmentation(32_000, 16_000))
    assert Facts.from_json(facts.to_json()) == facts
    later = json.loads(facts.to_json()) | {"version": 2}
    with pytest.raises(DataLoss, match="embedsvc-features 1, but are 2"):
        Facts.from_json(json.dumps(later))
    with pytest.raises(DataLoss):
        Facts.from_json("[]")
