"""Trains an encoder: from a corpus of features and a recipe to a folder that holds the run."""

import math
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from embedsvc.encoder.model import usable_device
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.timing import to_seconds
from embedsvc.training.arithmetic import autocast, on_threads
from embedsvc.training.augmentation import augment, mask_bins, normalize, spans
from embedsvc.training.batches import Batch, Material, Sampler
from embedsvc.training.corpus import Corpus
from embedsvc.training.network import TrainableEncoder
from embedsvc.training.objectives import Heads, Layout, Quantizer, Weights, code_loss, losses
from embedsvc.training.optimizer import Optimizer, rate_at
from embedsvc.training.phones import Inventory
from embedsvc.training.recipe import Recipe
from embedsvc.training.state import Plan, Progress, Run
from embedsvc.training.team import Team, together
from embedsvc.training.validation import Validator, choose, is_kept

FRAME_SECONDS = to_seconds(320)
REPORT_EVERY = 25
"""Steps between two reports of the losses."""

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Limits:
    """Where and for how long a part of a run may go on.

    Raises `InvalidArgument` or `FailedPrecondition` for what cannot be.
    """

    device: str = "cpu"
    processes: int = 1
    threads: int = 1
    minutes: float = math.inf

    def __post_init__(self) -> None:
        usable_device(self.device)
        if self.processes < 1:
            raise InvalidArgument(f"`--processes` must be at least 1, but is {self.processes}")
        if not self.minutes >= 0:
            raise InvalidArgument(f"`--minutes` must not be negative, but is {self.minutes}")


def train(corpus: Path, out: Path, recipe: Recipe, limits: Limits, report: Report) -> None:
    """Train until the recipe's last step, the time limit, or a signal; then keep the state.

    A run that was stopped goes on exactly where it was kept. `report` is given the records of the
    log. Raises `FailedPrecondition` when `out` holds another run.
    """
    with tempfile.TemporaryDirectory(prefix="embedsvc-train-") as folder:
        work = partial(_work, corpus, out, recipe, limits)
        meeting = Path(folder) / "meeting"
        together(limits.processes, meeting, partial(work, report), partial(work, _silent))


def _silent(record: Mapping[str, Any]) -> None:
    del record


def _work(
    corpus_path: Path, out: Path, recipe: Recipe, limits: Limits, report: Report, team: Team
) -> None:
    with on_threads(limits.threads):
        _train(corpus_path, out, recipe, limits, report, team)


def _train(
    corpus_path: Path, out: Path, recipe: Recipe, limits: Limits, report: Report, team: Team
) -> None:
    corpus = Corpus.open(corpus_path)
    learnt = [clip for clip in corpus.clips if not is_kept(clip)]
    inventory = Inventory.of(clip.phones for clip in learnt)
    languages = sorted({clip.language for clip in corpus.clips})
    run = Run(out)
    # What is fitted on the encoder afterwards may change without training it again.
    taught = {name: part for name, part in recipe.as_dict().items() if name != "output"}
    plan = Plan(taught, corpus.digest, inventory.labels, languages, team.size)
    if team.rank == 0:
        run.claim(plan)
    team.wait()
    device = torch.device(limits.device)
    material = Material.of(corpus, inventory, languages, device)
    layout = Layout(
        recipe.layers, len(inventory.labels), len(languages), int(material.voices.max()) + 1
    )
    trainer = Trainer(recipe, material, corpus, layout, team)
    trainer.run(run, limits.minutes, report)


class Trainer:
    """One process of a training."""

    def __init__(
        self, recipe: Recipe, material: Material, corpus: Corpus, layout: Layout, team: Team
    ) -> None:
        self._recipe, self._material, self._team = recipe, material, team
        self._device = material.begins.device
        shape, seed = recipe.model, recipe.schedule.seed
        torch.manual_seed(seed)
        self.encoder = TrainableEncoder(shape.config())
        self.heads = Heads(shape.hidden_size, layout)
        self._quantizer = Quantizer(shape.config().feature_projection_input_dim, layout, seed)
        self._whole = nn.ModuleDict({"encoder": self.encoder, "heads": self.heads})
        self._whole.to(self._device)
        self._quantizer.to(self._device)
        if self._device.type == "cuda":
            for block in self.encoder.blocks:
                block.compile(dynamic=False)
        parameters = dict(self._whole.named_parameters())
        self._optimizer = Optimizer(parameters, recipe.schedule, team)
        # Clips that are kept to validate on are out of the sampler's sight.
        kept = [replace(clip, frames=0) if is_kept(clip) else clip for clip in corpus.clips]
        self._sampler = Sampler(kept, recipe.mix, seed)
        self._validator = Validator(material, choose(corpus.clips), team)

    def run(self, run: Run, minutes: float, report: Report) -> None:
        """Steps until the last one, the time limit or a signal."""
        progress = self._resume(run)
        schedule = self._recipe.schedule
        if progress.step >= schedule.steps:
            raise FailedPrecondition(
                f"`--out` must be a run that is not finished, but it made all {progress.step} steps"
            )
        started, before = time.monotonic(), progress.seconds
        window = Window(started)
        with stopping() as asked:
            while progress.step < schedule.steps:
                found, heard = self._step(progress.step)
                progress = Progress(
                    progress.step + 1,
                    progress.audio_seconds + heard * self._team.size,
                    before + time.monotonic() - started,
                )
                window.add(found, heard * self._team.size)
                if progress.step % REPORT_EVERY == 0:
                    self._tell(run, report, window.record(progress, schedule.steps))
                    window = Window(time.monotonic())
                late = time.monotonic() - started > minutes * 60
                stop = self._agreed(asked.is_set or late) or progress.step == schedule.steps
                if progress.step % schedule.validate_every == 0 or progress.step == schedule.steps:
                    self._validate(run, report, progress)
                if stop or progress.step % schedule.save_every == 0:
                    self._save(run, progress)
                if stop:
                    return

    def _step(self, step: int) -> tuple[dict[str, float], float]:
        """One move of the weights: its losses, and the seconds of audio that were heard."""
        recipe = self._recipe
        random = torch.Generator(self._device)
        sequence = np.random.SeedSequence((recipe.schedule.seed, step, self._team.rank))
        random.manual_seed(int(sequence.generate_state(1)[0]))
        width, chosen = self._sampler.choose(step, self._team.rank)
        batch = self._material.batch(width, chosen, random)
        features = normalize(augment(batch.mel, recipe.augmentation, random))
        self._optimizer.zero()
        weights = self._weights(step)
        total, found = self._losses(features, batch, weights, random)
        torch.autograd.backward(total)
        found["gradient"] = self._optimizer.step(rate_at(step, recipe.schedule))
        return found, width * len(chosen) * FRAME_SECONDS

    def _weights(self, step: int) -> Weights:
        """How much each objective counts at a step."""
        schedule, weights = self._recipe.schedule, self._recipe.objectives
        alone = schedule.phones_only * schedule.steps
        if not alone:
            return weights
        part = min(1.0, max(0.0, (step - alone) / alone))
        return replace(
            weights,
            ctc=part * weights.ctc,
            language=part * weights.language,
            content=part * weights.content,
            voice=part * weights.voice,
            codes=part * weights.codes,
        )

    def _losses(
        self, features: Tensor, batch: Batch, weights: Weights, random: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        hiding = self._recipe.hiding
        shape = (features.shape[0], features.shape[1])
        hidden = spans(shape, hiding.share, hiding.longest, random, self._device)
        shown = mask_bins(features, self._recipe.augmentation, random)
        with autocast(self._device):
            layers = self.encoder(shown, hidden)
            found = losses(layers, self.heads, batch, weights)
            if weights.codes and hidden.any():
                targets = self._quantizer(features[hidden])
                found["codes"] = code_loss(layers[-1], targets, hidden, self.heads)
        total = torch.stack([getattr(weights, name) * loss for name, loss in found.items()]).sum()
        return total, {name: float(loss.detach()) for name, loss in found.items()}

    def _validate(self, run: Run, report: Report, progress: Progress) -> None:
        figures = self._validator.measure(self.encoder, self.heads)
        self._tell(run, report, {"kind": "validation", "step": progress.step, **asdict(figures)})

    def _tell(self, run: Run, report: Report, record: Mapping[str, Any]) -> None:
        if self._team.rank == 0:
            run.log(record)
            report(record)

    def _agreed(self, stop: bool) -> bool:
        """Whether any process wants to stop."""
        return bool(self._team.total(torch.tensor([float(stop)])).item())

    def _save(self, run: Run, progress: Progress) -> None:
        run.save(progress, self._whole.state_dict(), self._optimizer.state(), self._team)

    def _resume(self, run: Run) -> Progress:
        saved = run.last()
        if saved is None:
            return Progress()
        self._whole.load_state_dict(saved.model)
        self._optimizer.load(saved.optimizer)
        return saved.progress


class Window:
    """Losses since the last report."""

    def __init__(self, started: float) -> None:
        self._started, self._audio = started, 0.0
        self._values: dict[str, list[float]] = {}

    def add(self, found: Mapping[str, float], audio_seconds: float) -> None:
        """Add those of a step."""
        self._audio += audio_seconds
        for name, value in found.items():
            if math.isfinite(value):  # such a step moved nothing
                self._values.setdefault(name, []).append(value)

    def record(self, progress: Progress, steps: int) -> dict[str, Any]:
        """A line of the log."""
        means = {name: round(float(np.mean(values)), 4) for name, values in self._values.items()}
        speed = self._audio / (time.monotonic() - self._started)
        left = progress.seconds / progress.step * (steps - progress.step)
        return {
            "kind": "losses",
            "step": progress.step,
            **means,
            "audio_hours": round(progress.audio_seconds / 3600, 3),
            "audio_seconds_per_second": round(speed, 1),
            "seconds": round(progress.seconds, 1),
            "seconds_left": round(left),
        }


class Asked:
    """Whether a signal asked to stop."""

    def __init__(self) -> None:
        self.is_set = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note a signal."""
        del number, frame
        self.is_set = True


@contextmanager
def stopping() -> Iterator[Asked]:
    """Signals that end a process ask for a good end while this is open."""
    asked = Asked()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, asked) for number in signals]
    try:
        yield asked
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
