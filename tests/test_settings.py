from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from embedsvc.settings import Settings, SettingsError, default_data_directory, load


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "embedsvc.toml"
    path.write_text('[server]\naddress = "file:1"\ndrain_seconds = 5\n[model]\nname = "file"\n')
    return path


def fault(flags: dict[str, object] | None = None, **environ: str) -> str:
    """The message about settings that cannot be used."""
    with pytest.raises(SettingsError) as caught:
        load(flags, environ)
    return caught.value.message


def sections(tree: BaseModel) -> Iterator[BaseModel]:
    yield tree
    for name in type(tree).model_fields:
        value = getattr(tree, name)
        if isinstance(value, BaseModel):
            yield from sections(value)


def test_without_anything_there_are_defaults() -> None:
    settings = load({}, {})
    assert settings.server.address == "127.0.0.1:50051"
    assert settings.model.name == "mini"
    assert settings == Settings()


def test_flags_are_over_the_environment_which_is_over_the_file(file: Path) -> None:
    environ = {
        "EMBEDSVC_CONFIG": str(file),
        "EMBEDSVC_SERVER__ADDRESS": "environment:2",
        "EMBEDSVC_MODEL__NAME": "environment",
    }
    settings = load({"model": {"name": "flag"}}, environ)
    assert settings.model.name == "flag"
    assert settings.server.address == "environment:2"
    assert settings.server.drain_seconds == 5
    assert settings.server.max_request_bytes == Settings().server.max_request_bytes


def test_a_flag_that_was_not_given_changes_nothing(file: Path) -> None:
    flags = {"data": None, "model": {"name": None}, "server": {}}
    environ = {"EMBEDSVC_CONFIG": str(file)}
    assert load(flags, environ) == load({}, environ)


def test_the_environment_is_read_unless_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDSVC_BATCHER__QUEUE_FRAMES", "123")
    assert load().batcher.queue_frames == 123
    assert load({}, {}).batcher.queue_frames == Settings().batcher.queue_frames


def test_texts_of_the_environment_become_their_types() -> None:
    settings = load(
        {},
        {
            "EMBEDSVC_DATA": "/somewhere",
            "EMBEDSVC_MODEL__THREADS": "3",
            "EMBEDSVC_AUDIO__MAX_UNARY_SECONDS": "1.5",
            "EMBEDSVCX": "not ours",
            "OTHER": "not ours",
        },
    )
    assert settings.data == Path("/somewhere")
    assert settings.model.threads == 3
    assert settings.audio.max_unary_seconds == 1.5


def test_heads_of_a_file_the_environment_and_flags_are_joined(file: Path) -> None:
    file.write_text('[model.heads]\nmms = "DIR:deu,swh"\nenglish = "old"\n')
    environ = {"EMBEDSVC_CONFIG": str(file), "EMBEDSVC_MODEL__HEADS__GERMAN": "owner/german"}
    settings = load({"model": {"heads": {"english": "owner/english:eng"}}}, environ)
    assert settings.model.heads == {
        "mms": "DIR:deu,swh",
        "german": "owner/german",
        "english": "owner/english:eng",
    }
    assert "model.heads.Ü" in fault({"model": {"heads": {"Ü": "x"}}})
    assert "model.heads.a" in fault({"model": {"heads": {"a": ""}}})
    assert "model.heads" in fault(None, EMBEDSVC_MODEL__HEADS="x")


def test_every_fault_is_reported_at_once(file: Path) -> None:
    file.write_text('[server]\nport = 1\ndrain_seconds = 0\n[batcher]\nqueue_frames = "many"\n')
    message = fault(
        {"audio": {"decode_workers": -1}},
        EMBEDSVC_CONFIG=str(file),
        EMBEDSVC_MODEL__THREADS="2.5",
        EMBEDSVC_MODLE__NAME="mini",
    )
    for name in (
        "server.port",
        "server.drain_seconds",
        "batcher.queue_frames",
        "audio.decode_workers",
        "model.threads",
        "modle",
    ):
        assert f"{name}: " in message
    assert len(message.split("; ")) == 6


@pytest.mark.parametrize(
    "name", ["EMBEDSVC_NAME", "EMBEDSVC_SERVER__", "EMBEDSVC_", "EMBEDSVC___A"]
)
def test_an_unknown_name_is_a_fault(name: str) -> None:
    assert "Extra inputs are not permitted" in fault(None, **{name: "1"})


def test_a_value_where_a_section_should_be_is_one_fault_among_others() -> None:
    flags: dict[str, object] = {"server": {"address": "flag:1"}, "audio": {"decode_workers": 0}}
    for names in (["EMBEDSVC_SERVER"], ["EMBEDSVC_SERVER", "EMBEDSVC_SERVER__ADDRESS"]):
        message = fault(flags, **dict.fromkeys(names, "x"))
        assert message.startswith("server: ")
        assert "audio.decode_workers: " in message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    wrong, binary = tmp_path / "wrong.toml", tmp_path / "binary.toml"
    wrong.write_text("[server\n")
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (wrong, binary, tmp_path, tmp_path / "missing.toml"):
        message = fault(None, EMBEDSVC_CONFIG=str(path))
        assert message.startswith(f"`EMBEDSVC_CONFIG` must name a TOML file: {path}")


def test_the_whole_tree_is_frozen() -> None:
    found = list(sections(load({}, {})))
    assert len(found) == 5
    for section in found:
        for name in type(section).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(section, name, getattr(section, name))


def test_every_setting_has_its_explanation() -> None:
    for section in sections(Settings()):
        for name, field in type(section).model_fields.items():
            assert field.description or isinstance(getattr(section, name), BaseModel), name


def test_data_is_kept_where_the_user_keeps_data() -> None:
    assert default_data_directory({"XDG_DATA_HOME": "/xdg"}) == Path("/xdg/embedsvc")
    home = Path.home() / ".local" / "share" / "embedsvc"
    assert default_data_directory({}) == default_data_directory({"XDG_DATA_HOME": ""}) == home


@limits(max_examples=50, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["SERVER", "SERVER__ADDRESS", "SERVER__A__B", "DATA", "DATA__X", "", "__"]),
        st.sampled_from(["", "1", "x", "{}", "\x00"]),
    )
)
def test_any_environment_gives_settings_or_an_error_of_ours(environ: dict[str, str]) -> None:
    with suppress(SettingsError):
        load({"server": {"address": "a:1"}}, {f"EMBEDSVC_{n}": v for n, v in environ.items()})
