"""Shards: folders that processes of their own make, so that one may die alone.

A shard gets its name only when it is complete, so that a run that was stopped goes on with those
it has.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from embedsvc.training.corpus import CLIPS, FEATURES, MANIFEST, Clip, line_of

Progress = Callable[[str, int, int], None]
"""Called with the name of what is done, how many are, and of how many."""

ATTEMPTS = 12
DEATHS_AT_ONE = 2
"""Times that a process may die at one utterance before it is left out."""

FRAMES_A_SECOND = 100

_AT = "at"
_ERRORS = "errors.txt"
_PARTIAL = ".partial"


@dataclass(frozen=True)
class Job:
    """What a process is told: where the shard goes, what it is made from, and what to leave out.

    `partial` is where it lies until it is complete.
    """

    path: Path
    partial: Path
    key: str
    left_out: frozenset[int] = frozenset()

    def is_left_out(self, number: int) -> bool:
        """Whether to leave out an utterance; else it is noted that it is the one at work."""
        if number not in self.left_out:
            (self.partial / _AT).write_text(str(number), encoding="ascii")
        return number in self.left_out

    def complete(self, counts: Counter[str]) -> None:
        """Give the shard its name."""
        manifest = {"key": self.key, "counts": dict(counts)}
        (self.partial / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        for name in (_AT, _ERRORS):
            (self.partial / name).unlink(missing_ok=True)
        self.partial.rename(self.path)


@dataclass(frozen=True)
class Task:
    """A shard to be made: `make(job, arguments)` runs in a process of its own.

    `arguments` are plain values; with seed and versions among them, the same make the same.
    """

    name: str
    make: Callable[[Job, Any], None]
    arguments: Any

    @property
    def key(self) -> str:
        """Digest of what the shard is made from."""
        return hashlib.sha256(repr(self.arguments).encode()).hexdigest()


@dataclass(frozen=True)
class Made:
    """What became of a task: its shard, or None and why; and how many utterances were left out."""

    name: str
    path: Path | None
    left_out: int = 0
    fault: str = ""

    @property
    def counts(self) -> Counter[str]:
        """What the shard counted: its clips, and why others were not kept."""
        if self.path is None:
            return Counter()
        manifest = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        return Counter(manifest["counts"])


class ShardWriter:
    """Writes a shard of features; it is complete when the block ends without an error."""

    def __init__(self, job: Job) -> None:
        self.counts: Counter[str] = Counter()
        self.frames = 0
        self._job = job

    def __enter__(self) -> Self:
        self._features = (self._job.partial / FEATURES).open("wb")
        self._clips = (self._job.partial / CLIPS).open("w", encoding="utf-8")
        return self

    @property
    def seconds(self) -> float:
        """Seconds of what was added."""
        return self.frames / FRAMES_A_SECOND

    def add(self, clip: Clip, features: NDArray[np.float16]) -> None:
        """Add a clip with its log-mel (T, 80); where it lies is filled in."""
        placed = replace(clip, begin=self.frames, frames=len(features))
        self._features.write(np.ascontiguousarray(features, "<f2").tobytes())
        self._clips.write(line_of(placed))
        self.frames += len(features)
        self.counts["clips"] += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._features.close()
        self._clips.close()
        if error is None:
            self._job.complete(self.counts)


def make_all(
    tasks: Sequence[Task], folder: Path, workers: int, progress: Progress
) -> tuple[Made, ...]:
    """Make the shards that are not there yet; the results are in the order of the tasks."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob(f"*{_PARTIAL}"):
        shutil.rmtree(stale)
    stop = Event()
    made: dict[int, Made] = {}
    with ThreadPoolExecutor(workers) as pool:
        futures = {
            pool.submit(_make, task, folder, stop): number for number, task in enumerate(tasks)
        }
        try:
            for future in as_completed(futures):
                made[futures[future]] = future.result()
                progress(made[futures[future]].name, len(made), len(tasks))
        except BaseException:
            stop.set()
            raise
    return tuple(made[number] for number in range(len(tasks)))


def _make(task: Task, folder: Path, stop: Event) -> Made:
    path = folder / task.name
    if _is_made(path, task.key):
        return Made(task.name, path)
    shutil.rmtree(path, ignore_errors=True)
    deaths: Counter[int] = Counter()
    fault = ""
    left_out: frozenset[int] = frozenset()
    for attempt in range(ATTEMPTS):
        if stop.is_set():
            break
        # A process of a run that was killed may still be at work: it must not meet this one.
        partial = folder / f"{task.name}.{os.getpid()}-{attempt}{_PARTIAL}"
        partial.mkdir()
        code = _run(task, Job(path, partial, task.key, left_out))
        if _is_made(path, task.key):
            shutil.rmtree(partial, ignore_errors=True)
            return Made(task.name, path, len(left_out))
        fault = _fault(partial, code)
        deaths[_at(partial)] += 1
        left_out = frozenset(at for at, count in deaths.items() if count >= DEATHS_AT_ONE)
        shutil.rmtree(partial, ignore_errors=True)
        if code > 0 and attempt + 1 >= DEATHS_AT_ONE:
            break
    return Made(task.name, None, len(left_out), fault)


def _is_made(path: Path, key: str) -> bool:
    manifest = path / MANIFEST
    if not manifest.is_file():
        return False
    return bool(json.loads(manifest.read_text(encoding="utf-8"))["key"] == key)


def _run(task: Task, job: Job) -> int:
    """Exit status of a new process that makes a shard, negative when a signal ended it."""
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_work, args=(task.make, job, task.arguments), daemon=True)
    process.start()
    process.join()
    return process.exitcode or 0


def _work(make: Callable[[Job, Any], None], job: Job, arguments: Any) -> None:
    """Make a shard; what this process and the synthesizer complain about goes to a file."""
    with (job.partial / _ERRORS).open("wb") as errors:
        os.dup2(errors.fileno(), 2)
    make(job, arguments)


def _at(partial: Path) -> int:
    """The utterance that was at work, -1 for none."""
    path = partial / _AT
    text = path.read_text(encoding="ascii") if path.is_file() else ""
    return int(text) if text else -1


def _fault(partial: Path, code: int) -> str:
    errors = partial / _ERRORS
    lines = errors.read_text(errors="replace").split("\n") if errors.is_file() else []
    last = next((line for line in reversed(lines) if line.strip()), "")
    return f"exit status {code}: {last}"
