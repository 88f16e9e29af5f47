import subprocess

import pytest

from embedsvc.cli.main import parser
from embedsvc.version import version
from tests.cli.program import Program, command

COMMANDS = (
    "serve",
    "demo",
    "embed",
    "index",
    "search",
    "collections",
    "models",
    "evaluate",
    "bench",
)


def test_the_version_is_that_of_the_package(program: Program) -> None:
    ended = program("--version")
    assert (ended.returncode, ended.stdout) == (0, f"embedsvc {version()}\n")


@pytest.mark.parametrize("arguments", [(), ("fly",), ("embed",), ("search",), ("serve", "x")])
def test_misuse_is_code_2_and_shows_the_usage(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(arguments)
    assert ended.value.code == 2
    assert "usage: embedsvc" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser().parse_args([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: embedsvc {name}" in capsys.readouterr().out


def test_no_server_is_told_in_one_line(main: Program) -> None:
    ended = main("collections", "--target", "127.0.0.1:9")
    assert ended.returncode == 1
    assert ended.stderr.startswith("embedsvc collections: no server answers at 127.0.0.1:9")
    assert "Traceback" not in ended.stderr


def test_a_reader_that_has_enough_is_no_failure(environment: dict[str, str], target: str) -> None:
    asked = command("embed", *["nowhere.wav"] * 2, "--target", target, "--json")
    with subprocess.Popen(
        asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        told = running.stderr.read()
        running.wait(60)
    assert "Traceback" not in told
    assert "BrokenPipe" not in told
