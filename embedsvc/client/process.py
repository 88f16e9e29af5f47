"""The service in a process of its own on this machine, for as long as somebody needs it."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from embedsvc.errors import Unavailable

_GRACE = 30.0


class ServerProcess:
    """`embedsvc serve` on a free port, ready when it is constructed; `flags` are of the command.

    Raises `Unavailable` when it ends before it is ready; why, it has said on stderr.
    """

    def __init__(self, data: Path, flags: Sequence[str] = ()) -> None:
        command = [sys.executable, "-m", "embedsvc", "serve", "--address", "127.0.0.1:0", "--json"]
        command += ["--data", str(data), "--log-level", "warning", *flags]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            self._process.communicate()
            code = self._process.returncode
            raise Unavailable(f"the server ended with code {code} before it was ready")
        self.target: str = json.loads(line)["address"]

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def stop(self) -> None:
        """Let calls in progress finish, and end it."""
        self._process.terminate()
        self._process.communicate(timeout=_GRACE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()
