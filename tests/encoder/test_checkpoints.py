import shutil
from pathlib import Path

import pytest

from embedsvc.encoder import bundled, resolve
from embedsvc.errors import InvalidArgument, ModelNotFound

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the Hub, and no network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_the_bundled_models_are_listed_and_resolve() -> None:
    assert bundled() == ["mini"]
    checkpoint = resolve("mini")
    assert (checkpoint.name, checkpoint.files) == ("mini", ("model.safetensors",))
    assert checkpoint.config.num_hidden_layers > 1
    assert len(checkpoint.weights) == 64


def test_a_directory_is_named_by_its_last_part(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve(str(directory)).name == "small"
    monkeypatch.chdir(directory)
    assert resolve(".").name == "small"
    assert resolve(".").directory == directory


def test_a_hub_name_is_found_among_the_downloads(hub: Path, directory: Path) -> None:
    cached = hub / "models--owner--speech.v2"
    shutil.copytree(directory, cached / "snapshots" / REVISION)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(REVISION)
    assert resolve("owner/speech.v2").name == "owner/speech.v2"
    assert resolve(f"owner/speech.v2@{REVISION}").weights == resolve(str(directory)).weights


@pytest.mark.parametrize("name", ["owner/speech", f"owner/speech@{REVISION}"])
def test_an_unreachable_hub_says_how_to_go_on(hub: Path, name: str) -> None:
    with pytest.raises(ModelNotFound, match="give the directory") as caught:
        resolve(name)
    assert caught.value.field == "model"


@pytest.mark.parametrize(
    "name",
    ["/nowhere/model", "./nowhere", "../nowhere", "~/nowhere-at-all", "~nobody-at-all/model"],
)
def test_a_directory_that_is_not_there_is_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound, match="no directory"):
        resolve(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "other",
        "a/b/c",
        "owner/na me",
        "owner/../x",
        "-a/b",
        "a/b@",
        "a/b@x/y",
        "a/b\n",
        "é/b",
        "a\0b",
        "x" * 5000,
    ],
)
def test_a_name_of_no_known_form_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match="must be one of `mini`, a directory") as caught:
        resolve(name)
    assert caught.value.field == "model"


def test_a_file_is_no_checkpoint(directory: Path) -> None:
    with pytest.raises(InvalidArgument, match="must be a directory"):
        resolve(str(directory / "model.safetensors"))


def test_a_directory_without_a_config_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"config\.json"):
        resolve(str(tmp_path))
