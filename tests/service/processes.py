"""Real servers in processes of their own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import embedsvc.models

ROOT = Path(__file__).resolve().parents[2]


class SlowModel:
    """A copy of the model `mini` that a server cannot load before `release`."""

    _file = "preprocessor_config.json"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        source = Path(embedsvc.models.__path__[0]) / "mini"
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns(self._file))
        self._config = (source / self._file).read_bytes()
        os.mkfifo(folder / self._file)

    def release(self) -> None:
        """Let whoever waits for the configuration read it."""
        (self.folder / self._file).write_bytes(self._config)


class Server:
    """`python -m embedsvc serve`, killed at the end of the block if it still runs.

    `settings` are environment variables without their prefix; `within` is a command line that runs
    it where its data are the only disk.
    """

    def __init__(
        self,
        data: Path,
        address: str = "127.0.0.1:0",
        within: Sequence[str] = (),
        **settings: str,
    ) -> None:
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith("EMBEDSVC")},
            "PYTHONPATH": str(ROOT),
            # Otherwise glibc keeps what was freed, and nobody sees what is in use.
            "MALLOC_MMAP_THRESHOLD_": "131072",
            **({"TMPDIR": str(data.with_name("tmp"))} if within else {}),
            **{f"EMBEDSVC_{name}": text for name, text in settings.items()},
        }
        flags = ["--address", address, "--data", str(data), "--json", "--threads", "1"]
        self.data = data
        self._address = ""
        self.process = subprocess.Popen(
            [*within, sys.executable, "-m", "embedsvc", "serve", *flags],
            env=environment,
            cwd=data.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.communicate()

    def address(self) -> str:
        """Where it serves; waits until it does."""
        if not self._address:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            assert line, self.process.communicate()
            announced: dict[str, Any] = json.loads(line)
            self._address = str(announced["address"])
        return self._address

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, timeout: float = 30) -> tuple[int, str]:
        """Its exit code, and what it wrote on stderr."""
        _, text = self.process.communicate(timeout=timeout)
        return self.process.returncode, text

    def resident_bytes(self, *, peak: bool = False) -> int:
        """Memory it holds now, or held at most."""
        wanted = "VmHWM:" if peak else "VmRSS:"
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        (line,) = (line for line in status.splitlines() if line.startswith(wanted))
        return int(line.split()[1]) * 1024
