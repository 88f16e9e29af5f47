"""The real program, and one server for the commands that can do with it."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from embedsvc import telemetry
from embedsvc.cli import main as cli
from embedsvc.samples import clips
from tests.cli.program import Ended, Program, command

ROOT = Path(__file__).parents[2]

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """That of a user with an empty home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EMBEDSVC_")}
    home = str(tmp_path_factory.mktemp("home"))
    return {**kept, "HOME": home, "XDG_DATA_HOME": home, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def program(environment: dict[str, str]) -> Program:
    def run(*arguments: object, **changed: str) -> Ended:
        return subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            check=False,
            env=environment | changed,
            timeout=120,
        )

    return run


@pytest.fixture
def main(capsys: pytest.CaptureFixture[str]) -> Iterator[Program]:
    """The program in this process, where a new one would show nothing more."""
    log = telemetry.log
    before = (log.handlers[:], log.level, log.propagate)

    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        asked = list(map(str, arguments))
        try:
            code = cli.main(asked)
        except SystemExit as misuse:
            code = int(misuse.code or 0)
        told = capsys.readouterr()
        return Ended(asked, code, told.out, told.err)

    yield run
    # A server sends the log to the stderr of its test.
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture(scope="session")
def target(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data = tmp_path_factory.mktemp("served")
    asked = command("serve", "--address", "127.0.0.1:0", "--data", data, "--json")
    with subprocess.Popen(
        asked, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        yield json.loads(server.stdout.readline())["address"]
        server.terminate()
        assert server.wait(30) == 0


@pytest.fixture(scope="session")
def clip() -> Path:
    return clips("archive")[0].path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sentences as WAV, one of them in a folder of its own."""
    made = tmp_path_factory.mktemp("speech")
    chosen = [clip for clip in clips("archive") if clip.group == "news"][:3]
    for clip, name in zip(chosen, ("a.wav", "b.wav", "more/c.wav"), strict=True):
        samples, rate = soundfile.read(clip.path)
        (made / name).parent.mkdir(exist_ok=True)
        soundfile.write(made / name, samples, rate)
    return made


@pytest.fixture
def mixed(folder: Path, tmp_path: Path) -> Path:
    """A folder with two good files, one that is cut to nothing and one that never was sound."""
    made = tmp_path / "mixed"
    made.mkdir()
    for name in ("a.wav", "b.wav"):
        (made / name).write_bytes((folder / name).read_bytes())
    (made / "empty.wav").write_bytes(b"")
    (made / "noise.flac").write_bytes(b"no sound in here" * 64)
    return made
