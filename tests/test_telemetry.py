import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import redirect_stderr
from typing import Any

import pytest

from embedsvc import telemetry


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """Leaves the logger of the process as it was."""
    log = telemetry.log
    before = (log.handlers[:], log.level, log.propagate)
    yield
    log.handlers[:], log.level, log.propagate = before


class Log:
    """The log of a process whose stderr is kept."""

    def __init__(self) -> None:
        self._stderr = io.StringIO()

    def configure(self, level: str = "INFO") -> None:
        with redirect_stderr(self._stderr):
            telemetry.configure(level)

    def lines(self) -> list[dict[str, Any]]:
        """What was logged until now."""
        return [json.loads(line) for line in self._stderr.getvalue().splitlines()]


def fail() -> None:
    raise RuntimeError("two\nlines")


@pytest.fixture
def log() -> Log:
    """A log that is configured."""
    log = Log()
    log.configure()
    return log


def test_an_event_is_one_json_object(log: Log) -> None:
    telemetry.event("listening", address="127.0.0.1:1", port=1)
    (line,) = log.lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {"level": "info", "event": "listening", "address": "127.0.0.1:1", "port": 1}


def test_a_call_says_its_method_status_and_time(log: Log) -> None:
    telemetry.call("Embed", "OK", 0.0123456, frames=49)
    (line,) = log.lines()
    assert line["event"] == "call"
    assert (line["method"], line["status"], line["ms"], line["frames"]) == (
        "Embed",
        "OK",
        12.35,
        49,
    )
    assert line["level"] == "info"


def test_a_warning_says_so(log: Log) -> None:
    telemetry.warning("left out", head="phones")
    (line,) = log.lines()
    assert (line["level"], line["event"], line["head"]) == ("warning", "left out", "phones")


def test_only_our_own_faults_are_errors(log: Log) -> None:
    for status in ("OK", "INVALID_ARGUMENT", "UNAVAILABLE", "INTERNAL"):
        telemetry.call("Embed", status, 0.0)
    assert [line["level"] for line in log.lines()] == ["info", "info", "info", "error"]


def test_a_bug_is_logged_with_its_trace(log: Log) -> None:
    with pytest.raises(RuntimeError) as caught:
        fail()
    telemetry.bug("Embed", "r1", caught.value)
    (line,) = log.lines()
    assert (line["level"], line["method"], line["request_id"]) == ("error", "Embed", "r1")
    assert "RuntimeError: two\nlines" in line["trace"]
    assert "in fail" in line["trace"]


def test_foreign_text_stays_on_its_line_and_unknown_values_are_written(log: Log) -> None:
    telemetry.event("odd", text='a\nb "ż" %s', path={1}, error=ValueError("x"))
    (line,) = log.lines()
    assert (line["text"], line["path"], line["error"]) == ('a\nb "ż" %s', "{1}", "x")


def test_configuring_again_does_not_write_twice(log: Log) -> None:
    log.configure()
    telemetry.event("once")
    assert len(log.lines()) == 1


def test_a_level_silences_what_is_below(log: Log) -> None:
    log.configure("error")
    telemetry.event("hidden")
    telemetry.call("Embed", "INTERNAL", 0.0)
    assert [line["event"] for line in log.lines()] == ["call"]


def test_the_log_of_other_libraries_is_not_ours(log: Log) -> None:
    root = logging.getLogger()
    ours = logging.StreamHandler(stream := io.StringIO())
    root.addHandler(ours)
    try:
        telemetry.event("ours")
        logging.getLogger("other").error("theirs")
    finally:
        root.removeHandler(ours)
    assert [line["event"] for line in log.lines()] == ["ours"]
    assert stream.getvalue() == "theirs\n"
