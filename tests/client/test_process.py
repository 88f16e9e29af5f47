import os
from pathlib import Path

import pytest

from embedsvc import Client
from embedsvc.client.process import ServerProcess
from embedsvc.errors import Unavailable


def test_it_serves_until_it_is_stopped(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", ["--threads", "1"]) as server:
        with Client(server.target) as client:
            assert client.info().model == "mini"
        server.stop()
        with pytest.raises(ProcessLookupError):
            os.kill(server.pid, 0)


def test_one_that_can_not_start_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unavailable, match="the server ended with code 1 before it was ready"):
        ServerProcess(tmp_path / "data", ["--model", "nothing-like-that"])
    assert "`model` must be" in capfd.readouterr().err
