import subprocess
import sys
from pathlib import Path

import pytest

from embedsvc import Client
from embedsvc.errors import DataDirectoryInUse, FailedPrecondition, ModelNotFound

ROOT = Path(__file__).parents[2]


def test_collections_outlive_their_client(tmp_path: Path, clip: Path) -> None:
    with Client(data=tmp_path / "data") as client:
        client.create_collection("kept").add("a", clip, {"year": 1990})
    with Client(data=tmp_path / "data") as client:
        (hit,) = client.collection("kept").search(clip)
        assert (hit.id, hit.metadata) == ("a", {"year": 1990})


def test_a_folder_has_one_owner_and_embedding_needs_none(tmp_path: Path, clip: Path) -> None:
    with Client(data=tmp_path) as owner, Client(data=tmp_path) as other:
        owner.create_collection("kept")
        assert other.embed(clip).frame_count
        with pytest.raises(DataDirectoryInUse):
            other.collections()
    with Client(data=tmp_path) as other:
        assert [info.name for info in other.collections()] == ["kept"]


def test_a_model_that_is_not_there_fails_at_once_and_lets_the_folder_go(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        Client(data=tmp_path, model=str(tmp_path / "nowhere"))
    Client(data=tmp_path).close()


def test_a_closed_one_refuses_and_leaves_no_socket(tmp_path: Path) -> None:
    client = Client(data=tmp_path)
    socket = Path(client.target.removeprefix("unix:"))
    assert socket.exists()
    client.close()
    client.close()
    assert not socket.parent.exists()
    with pytest.raises(FailedPrecondition):
        client.info()


def test_a_program_that_forgets_to_close_ends_clean(tmp_path: Path, clip: Path) -> None:
    program = (
        "import sys; from embedsvc import Client; client = Client(data=sys.argv[1]);"
        "client.create_collection('kept').add('a', sys.argv[2]); print(client.target)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "data"), str(clip)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        timeout=60,
    )
    assert not ended.stderr
    assert not Path(ended.stdout.strip().removeprefix("unix:")).parent.exists()
    with Client(data=tmp_path / "data") as client:
        assert client.collection("kept").count() == 1
