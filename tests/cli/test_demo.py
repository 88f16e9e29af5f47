import time
from pathlib import Path

import pytest

from tests.cli.program import Program, objects


def processes_of(folder: Path) -> list[str]:
    """Command lines that name `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_text().replace("\0", " ")
        except OSError:  # it has ended
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def test_the_demo_shows_everything_and_leaves_nothing(program: Program, temporary: Path) -> None:
    started = time.monotonic()
    ended = program("demo", "--json", TMPDIR=str(temporary))
    assert ended.returncode == 0, ended.stderr
    assert time.monotonic() - started < 60
    stages = [each["stage"] for each in objects(ended)]
    assert len(set(stages)) >= 4
    assert stages[-1] == "times"
    assert objects(ended)[-1]["total"] > 0
    assert not list(temporary.iterdir())
    assert not processes_of(temporary)


def test_a_demo_whose_server_cannot_start_says_so(program: Program, temporary: Path) -> None:
    ended = program("demo", "--model", "/nowhere", TMPDIR=str(temporary))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no directory /nowhere" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(temporary.iterdir())
