"""A run on disk: what it takes to go on after it was stopped at any moment.

RUN/recipe.json          what is done, and on which corpus
RUN/log.jsonl            losses and validation figures, a line each
RUN/step-000500/         model.safetensors, optimizer-<rank>.safetensors, state.json
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from embedsvc.errors import FailedPrecondition
from embedsvc.training.team import Team

KEPT = 2
"""Saved states; the one before the last is for when a disk fails."""


@dataclass(frozen=True)
class Plan:
    """What must not change between the parts of a run."""

    recipe: Mapping[str, Any]
    corpus: str
    phones: Sequence[str]
    languages: Sequence[str]
    processes: int


@dataclass(frozen=True)
class Progress:
    """How far a run is: steps made, seconds of audio heard, seconds it took."""

    step: int = 0
    audio_seconds: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Saved:
    """A state read back."""

    progress: Progress
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]


class Run:
    """The folder of one training."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def claim(self, plan: Plan) -> None:
        """Make the folder, or check that what is in it was planned alike."""
        path = self.folder / "recipe.json"
        planned = json.loads(json.dumps(asdict(plan)))
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            if different := sorted(key for key in planned if planned[key] != found.get(key)):
                raise FailedPrecondition(
                    f"`--out` must be a new folder, or a run of the same {', '.join(different)}: "
                    f"{self.folder}"
                )
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        _write(path, json.dumps(planned, indent=1, ensure_ascii=False))

    def save(
        self, progress: Progress, model: Mapping[str, Tensor], optimizer: Mapping[str, Tensor],
        team: Team,
    ) -> None:  # fmt: skip
        """Keep the state; all processes call it. It counts only when its folder has its name."""
        final = self.folder / f"step-{progress.step:06}"
        folder = self.folder / f".{final.name}"
        if team.rank == 0:
            for half in self.folder.glob(".step-*"):
                shutil.rmtree(half)
            folder.mkdir()
            save_file(_own(model), folder / "model.safetensors")
            _write(folder / "state.json", json.dumps(asdict(progress)))
        team.wait()
        save_file(_own(optimizer), folder / f"optimizer-{team.rank}.safetensors")
        team.wait()
        if team.rank == 0:
            for path in folder.iterdir():
                _sync(path)
            shutil.rmtree(final, ignore_errors=True)
            folder.rename(final)
            _sync(self.folder)
            for old in self._states()[:-KEPT]:
                shutil.rmtree(old)
        team.wait()

    def last(self) -> Saved | None:
        """The newest state; None for a new run."""
        states = self._states()
        if not states:
            return None
        folder = states[-1]
        optimizer: dict[str, Tensor] = {}
        for path in sorted(folder.glob("optimizer-*.safetensors")):
            optimizer |= load_file(path)
        values = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        return Saved(Progress(**values), load_file(folder / "model.safetensors"), optimizer)

    def is_finished(self, steps: int) -> bool:
        """Whether the state of the last of `steps` is kept."""
        states = self._states()
        return bool(states) and int(states[-1].name.removeprefix("step-")) >= steps

    def log(self, record: Mapping[str, Any]) -> None:
        """Add a line to the log."""
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict[str, Any]]:
        """Lines of the log, without those of steps that a restart made again."""
        path = self.folder / "log.jsonl"
        if not path.exists():
            return []
        by_step: dict[tuple[str, int], dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue  # a line that was being written when the process died
            by_step[record["kind"], record["step"]] = record
        return sorted(by_step.values(), key=lambda record: (record["step"], record["kind"]))

    def plan(self) -> Plan:
        """What the run does; raises `FailedPrecondition` when the folder holds none."""
        path = self.folder / "recipe.json"
        if not path.is_file():
            raise FailedPrecondition(f"`RUN` must be the folder of a training: {self.folder}")
        return Plan(**json.loads(path.read_text(encoding="utf-8")))

    def _states(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("step-*") if path.is_dir())


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that share no memory, as the format asks."""
    return {name: each.detach().cpu().clone().contiguous() for name, each in tensors.items()}


def _write(path: Path, text: str) -> None:
    whole = path.with_name(f".{path.name}.new")
    whole.write_text(text, encoding="utf-8")
    _sync(whole)
    whole.rename(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
