import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedsvc.bench.child import Child
from embedsvc.errors import FailedPrecondition, InvalidArgument


def adder(first: int) -> Callable[[int], tuple[int, int]]:
    sys.stderr.write("made\n")
    sys.stderr.flush()
    return lambda second: (first // second, os.getpid())


def unsuitable(reason: str) -> Callable[[], None]:
    raise InvalidArgument(reason)


def dying() -> Callable[[], None]:
    return lambda: os._exit(3)


def test_it_answers_from_a_process_of_its_own_that_prints_elsewhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Child(tmp_path / "log", adder, 12) as child:
        value, process = child.ask(4)
        assert value == 3
        assert child.ask(6) == (2, process)
        assert process != os.getpid()
    assert "made" in (tmp_path / "log").read_text()
    assert capfd.readouterr().err == ""
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_what_can_not_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=r"^too small$"):
        Child(tmp_path / "log", unsuitable, "too small")


def test_a_question_that_fails_is_told(tmp_path: Path) -> None:
    with (
        Child(tmp_path / "log", adder, 1) as child,
        pytest.raises(FailedPrecondition, match=r"^ZeroDivisionError: "),
    ):
        child.ask(0)
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_process_that_was_killed_between_questions_is_told(tmp_path: Path) -> None:
    with Child(tmp_path / "log", adder, 12) as child:
        _, process = child.ask(4)
        os.kill(process, signal.SIGKILL)
        child._process.join(10)
        with pytest.raises(FailedPrecondition, match="ended, killed, perhaps for want of memory"):
            child.ask(4)


def test_a_process_that_ends_is_told(tmp_path: Path) -> None:
    with (
        Child(tmp_path / "log", dying) as child,
        pytest.raises(FailedPrecondition, match="its process ended"),
    ):
        child.ask()
