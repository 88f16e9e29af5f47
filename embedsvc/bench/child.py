"""A process of its own that answers questions: what it holds and does harms nobody's figures."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from embedsvc.errors import EmbedsvcError, FailedPrecondition

Answer = Callable[..., Any]
Make = Callable[..., Answer]

_GRACE = 10.0
_READY = "ready"


class Child:
    """Calls `make(*arguments)` in a new process, then what that gives with each question.

    `make` is a function of a module. What the process and its libraries print goes to `log`.
    Raises `FailedPrecondition` with the reason when it cannot be made or fails later.
    """

    def __init__(self, log: Path, make: Make, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        self._log = log
        self._process = context.Process(
            target=_live, args=(theirs, log, make, arguments), daemon=True
        )
        self._process.start()
        theirs.close()
        try:
            self._hear()
        except BaseException:
            self.close()
            raise

    def ask(self, *question: Any) -> Any:
        """The answer to one question."""
        try:
            self._line.send(question)
        except OSError as error:
            raise self._ended() from error
        return self._hear()

    def close(self) -> None:
        """End the process."""
        self._line.close()
        self._process.join(_GRACE)
        self._process.kill()
        self._process.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _hear(self) -> Any:
        try:
            value, fault = self._line.recv()
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if fault:
            raise FailedPrecondition(fault)
        return value

    def _ended(self) -> FailedPrecondition:
        self._process.join(_GRACE)
        killed = self._process.exitcode == -signal.SIGKILL
        why = ", killed, perhaps for want of memory" if killed else ""
        return FailedPrecondition(f"its process ended{why}; see {self._log}")


def _live(line: Connection, log: Path, make: Make, arguments: tuple[Any, ...]) -> None:
    with log.open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    try:
        answer = make(*arguments)
        line.send((_READY, ""))
        while True:
            line.send((answer(*line.recv()), ""))
    except EOFError:
        return  # nobody asks any more
    except EmbedsvcError as error:
        line.send((None, str(error)))
    except Exception as error:
        line.send((None, f"{type(error).__name__}: {error}"))
        raise
