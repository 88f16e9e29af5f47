import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import embedsvc.audio
from embedsvc.audio import messages
from embedsvc.types import Floats

Encode = Callable[..., bytes]
Chirp = Callable[..., Floats]

ROOT = Path(embedsvc.audio.__file__).parents[2]
HEAVY = {"torch", "faiss", "apsw", "grpc", "google", "scipy", "transformers", "pydantic"}


def python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_worker_imports_nothing_heavy() -> None:
    done = python("import embedsvc.audio.sandbox_worker, sys; print(*sys.modules)")
    assert not done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert {"numpy", "soundfile", "soxr"} <= loaded
    assert not loaded & HEAVY


def test_a_confined_worker_cannot_have_much_memory_or_write_files(tmp_path: Path) -> None:
    done = python(
        "from embedsvc.audio.sandbox_worker import confine\n"
        "confine()\n"
        "import numpy\n"
        "try:\n    numpy.zeros(2**28)\nexcept MemoryError:\n    print('no memory')\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"try:\n    open({str(tmp_path / 'file')!r}, 'w').write('x' * 99999)\n"
        "except OSError:\n    print('no file')\n"
        "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    assert done.stdout.splitlines() == ["no memory", "no file", "(0, 0)"]


def test_a_worker_ends_when_the_other_side_is_gone() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "embedsvc.audio.sandbox_worker"],
            stdin=theirs.fileno(),
            env={"PYTHONPATH": str(ROOT)},
        )
    with ours:
        ready = messages.receive(ours)
    assert ready is not None
    assert ready.header == {"kind": "ready"}
    assert worker.wait(timeout=30) == 0


def test_a_worker_may_only_compute_for_a_while(
    encode: Encode, chirp: Chirp, tmp_path: Path
) -> None:
    path = tmp_path / "sound"
    path.write_bytes(encode(chirp(), 16_000))
    ours, theirs = socket.socketpair()
    with theirs:
        worker = subprocess.Popen(
            [sys.executable, "-P", "-m", "embedsvc.audio.sandbox_worker"],
            stdin=theirs.fileno(),
            env={"PYTHONPATH": str(ROOT)},
        )
    with ours, path.open("rb") as file:
        messages.receive(ours)
        header = {"policy": "mix", "max_seconds": 100.0, "strict": False}
        messages.send(ours, header, file=file.fileno())
        end = messages.receive(ours)
        assert end is not None
        assert end.header["kind"] == "end"
        soft, _ = resource.prlimit(worker.pid, resource.RLIMIT_CPU)
        assert 40 <= soft <= 50
    assert worker.wait(timeout=30) == 0
