import os
import subprocess
import sys
import time

import numpy as np

from embedsvc.bench import memory

SIZE = 64 * 2**20


def test_a_peak_is_seen_and_forgotten() -> None:
    memory.forget_peak()
    before = memory.resident_bytes()
    block = np.ones(SIZE, np.uint8)
    del block
    assert memory.resident_bytes(peak=True) - before > 0.9 * SIZE
    memory.forget_peak()
    assert memory.resident_bytes(peak=True) - before < 0.5 * SIZE


def test_a_watch_sees_another_process_grow() -> None:
    program = f"import time; time.sleep(0.3); held = b'x' * {SIZE}; print(1, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        with memory.Watch(process.pid, every=0.02) as watch:
            process.stdout.readline()
        process.communicate(b"\n")
    times, sizes = zip(*watch.samples, strict=True)
    assert list(times) == sorted(times)
    assert sizes[-1] - sizes[0] > 0.9 * SIZE
    assert max(sizes) >= sizes[-1]


def test_a_process_that_ended_has_no_memory() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        assert memory.resident_bytes(process.pid) == 0


def test_work_takes_processor_time() -> None:
    before = memory.cpu_seconds(os.getpid())
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert memory.cpu_seconds(os.getpid()) - before > 0.05
