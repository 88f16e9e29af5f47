import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.program import Program, command
from tests.encoder.ctc.published import wave, write


def test_a_port_that_is_taken_is_told(program: Program, target: str, tmp_path: Path) -> None:
    ended = program("serve", "--address", target, "--data", tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"embedsvc serve: `address` must be free to listen on, but {target} is not" in (
        ended.stderr
    )
    assert "Traceback" not in ended.stderr


def test_a_model_that_is_not_there_is_told(program: Program, tmp_path: Path) -> None:
    asked = ("--address", "127.0.0.1:0", "--data", tmp_path, "--model", tmp_path / "nowhere")
    ended = program("serve", *asked)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"no directory {tmp_path / 'nowhere'}" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("heads", "code", "told"),
    [
        (["mms"], 2, "must be NAME=MODEL, but is 'mms'"),
        (["=mini"], 2, "must be NAME=MODEL, but is '=mini'"),
        (["a=mini", "a=mini"], 1, "`--head` must name each head once, but names 'a' again"),
        (["A B=mini"], 1, "model.heads.A B"),
        (["a=/nowhere"], 1, "head 'a' can not be served: `model` must exist"),
    ],
)
def test_a_head_that_cannot_be_served_is_told(
    main: Program, tmp_path: Path, heads: list[str], code: int, told: str
) -> None:
    flags = [word for head in heads for word in ("--head", head)]
    ended = main("serve", "--address", "127.0.0.1:0", "--data", tmp_path, *flags)
    assert ended.returncode == code
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_model_of_samples_is_told_where_it_belongs(main: Program, tmp_path: Path) -> None:
    path = write(wave(), tmp_path / "base")
    ended = main("serve", "--address", "127.0.0.1:0", "--data", tmp_path, "--model", path)
    assert ended.returncode == 1
    assert "serve it beside one, with --head NAME=MODEL" in ended.stderr


def test_every_wrong_setting_is_told_at_once(program: Program) -> None:
    wrong = {"EMBEDSVC_SERVER__DRAIN_SECONDS": "-1", "EMBEDSVC_AUDIO__LOUDNESS": "11"}
    ended = program("serve", **wrong)
    assert ended.returncode == 1
    assert "server.drain_seconds" in ended.stderr
    assert "audio.loudness" in ended.stderr


def test_a_signal_ends_it_well_and_a_socket_file_will_do(
    environment: dict[str, str], tmp_path: Path
) -> None:
    address = f"unix:{tmp_path / 'socket'}"
    asked = command("serve", "--address", address, "--data", tmp_path / "data", "--json")
    with subprocess.Popen(
        asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        assert server.stdout is not None
        assert json.loads(server.stdout.readline()) == {"event": "serving", "address": address}
        server.send_signal(signal.SIGINT)
        out, logs = server.communicate(timeout=60)
    assert (server.returncode, out) == (0, "")
    events = [json.loads(line) for line in logs.splitlines()]
    names = [event["event"] for event in events]
    assert names == ["starting", "loaded", "serving", "draining", "stopped"]
    loaded = events[1]
    assert (loaded["model"], loaded["device"], loaded["batches"]) == ("mini", "cpu", "packed")
    assert (loaded["precision"], loaded["reason"]) == ("fp32", "exact")
    assert loaded["passes"] >= 1
