"""Trains a head that writes letters, by CTC (Graves et al. 2006) on states that do not change."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Tensor, nn

from embedsvc.ctc import greedy, text
from embedsvc.ctc.edits import ErrorCounts, character_errors
from embedsvc.ctc.runs import labels_of
from embedsvc.encoder.ctc.letters import Shape, scores
from embedsvc.training.arithmetic import autocast, on_threads
from embedsvc.training.corpus import Corpus
from embedsvc.training.letter_speech import spelled
from embedsvc.training.letter_states import States
from embedsvc.training.state import Plan, Progress, Run
from embedsvc.training.team import Team
from embedsvc.types import Floats, Vocabulary

FRAME_SECONDS = 0.02
GAIN = 1.0
LARGEST_GRADIENT = 5.0
WARMUP = 0.05
"""Share of the steps over which the rate rises; then it falls to 0 in a line."""

LEAST_FAST = 64
"""Values in between from which on bfloat16 is used: oneDNN may not come back from a convolution of
15 frames and 16 values in it."""

HANDICAPS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
WORTH = 1.03
"""Errors in validation that letters which would be left out are worth, against the fewest."""

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Recipe:
    """What a head is, and how it learns: `batch_frames` frames a step, for so many `epochs`."""

    layer: int = 6
    hidden: int = 192
    blocks: int = 3
    kernel: int = 15
    epochs: int = 8
    batch_frames: int = 4000
    rate: float = 0.002
    decay: float = 0.02
    dropout: float = 0.1
    seed: int = 1


@dataclass(frozen=True)
class Told:
    """Clips of which it is known what they say: states, and labels of each that can be used."""

    states: States
    labels: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, shard: Corpus, states: States, vocabulary: Vocabulary) -> "Told":
        """Clips of a shard; a text that the labels do not spell is none."""
        return cls(states, tuple(spelled(clip.text, vocabulary) for clip in shard.clips))

    def usable(self) -> list[int]:
        """Clips with a text that fits into their frames."""
        return [
            clip
            for clip, labels in enumerate(self.labels)
            if labels and 2 * len(labels) <= self.states.length(clip) + len(labels)
        ]


@dataclass(frozen=True)
class Batch:
    """Clips side by side: states (B, T, D), how long each is (B,), and their labels."""

    states: Tensor
    lengths: Tensor
    labels: tuple[tuple[int, ...], ...]

    @property
    def inside(self) -> Tensor:
        """1 for frames that are none of the padding, (B, T, 1)."""
        places = torch.arange(self.states.shape[1])
        return (places < self.lengths[:, None]).float().unsqueeze(-1)


@dataclass(frozen=True)
class Material:
    """What a head learns from and is tried on."""

    training: tuple[Told, ...]
    validation: tuple[Told, ...]
    vocabulary: Vocabulary
    digest: str
    languages: tuple[str, ...]


def train(material: Material, recipe: Recipe, folder: Path, threads: int, report: Report) -> None:
    """Train for all epochs, going on from the last that was kept in `folder`.

    The same speech, recipe, threads and machine give the same weights, also when the run was
    stopped in between.
    """
    run, team = Run(folder), Team()
    labels = material.vocabulary.labels
    run.claim(Plan(asdict(recipe), material.digest, labels, material.languages, 1))
    shape = shape_of(material, recipe)
    learner = Learner(shape, recipe)
    saved = run.last()
    if saved is not None:
        learner.load(saved.model, saved.optimizer)
    progress = saved.progress if saved else Progress()
    steps = sum(1 for _ in batches(material.training, recipe, 0))
    with on_threads(threads):
        for epoch in range(progress.step, recipe.epochs):
            start = time.perf_counter()
            torch.manual_seed(recipe.seed * 1000 + epoch)
            losses, seconds = [], 0.0
            for number, batch in enumerate(batches(material.training, recipe, epoch)):
                done = (epoch * steps + number) / (recipe.epochs * steps)
                losses.append(learner.step(batch, done))
                seconds += float(batch.lengths.sum()) * FRAME_SECONDS
            counts = errors(learner.tensors, material)
            took = time.perf_counter() - start
            progress = Progress(
                epoch + 1, progress.audio_seconds + seconds, progress.seconds + took
            )
            record = {
                "kind": "epoch", "step": epoch + 1, "loss": float(np.mean(losses)),
                "character_errors": counts.rate, "seconds": round(took, 1),
            }  # fmt: skip
            run.save(progress, learner.tensors, learner.state(), team)
            run.log(record)
            report(record)


def shape_of(material: Material, recipe: Recipe) -> Shape:
    """Sizes of the head."""
    return Shape(
        inputs=material.training[0].states.values.shape[1],
        hidden=recipe.hidden,
        blocks=recipe.blocks,
        kernel=recipe.kernel,
        labels=len(material.vocabulary.labels),
    )


class Learner:
    """The tensors of a head, and what moves them."""

    def __init__(self, shape: Shape, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self._recipe = recipe
        self.tensors = {
            name: nn.Parameter(_first(name, size)) for name, size in shape.tensors().items()
        }
        self._adam = torch.optim.AdamW(
            self.tensors.values(), lr=recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.decay
        )

    def step(self, batch: Batch, done: float) -> float:
        """Move by one batch, at a share `done` of all steps; the loss in nats a label."""
        self._adam.param_groups[0]["lr"] = self._recipe.rate * _share(done)
        self._adam.zero_grad()
        loss = self._loss(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.tensors.values(), LARGEST_GRADIENT)
        self._adam.step()
        return float(loss.detach())

    def state(self) -> dict[str, Tensor]:
        """What else it takes to go on."""
        found = {}
        for name, parameter in self.tensors.items():
            for key, value in self._adam.state[parameter].items():
                found[f"{name}/{key}"] = value
        return found

    def load(self, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        """Go on from a state that was kept."""
        with torch.no_grad():
            for name, parameter in self.tensors.items():
                parameter.copy_(tensors[name])
                self._adam.state[parameter] = {
                    key: state[f"{name}/{key}"].clone() for key in ("step", "exp_avg", "exp_avg_sq")
                }

    def _loss(self, batch: Batch) -> Tensor:
        share = self._recipe.dropout
        is_wide = self._recipe.hidden >= LEAST_FAST
        with autocast(torch.device("cpu")) if is_wide else nullcontext():
            logits = scores(
                self.tensors, batch.states, batch.inside, lambda each: F.dropout(each, share)
            )
        log_probs = F.log_softmax(logits.float(), dim=-1).transpose(0, 1)
        targets = torch.tensor([label for labels in batch.labels for label in labels])
        sizes = torch.tensor([len(labels) for labels in batch.labels])
        lost: Tensor = F.ctc_loss(
            log_probs, targets, batch.lengths, sizes, blank=0, reduction="sum", zero_infinity=True
        )
        return lost / len(targets)


def _first(name: str, size: tuple[int, ...]) -> Tensor:
    if name.endswith("bias"):
        return torch.zeros(size)
    if "norm" in name:
        return torch.ones(size)
    first: Tensor = torch.randn(size) * GAIN / size[-1] ** 0.5
    return first


def _share(done: float) -> float:
    return min(done / WARMUP, (1 - done) / (1 - WARMUP))


def batches(parts: Sequence[Told], recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """All clips once, those of about the same length side by side, in a random order."""
    random = np.random.default_rng((recipe.seed, epoch))
    clips = [(part, clip) for part in parts for clip in part.usable()]
    noisy = [part.states.length(clip) * random.uniform(0.95, 1.05) for part, clip in clips]
    groups: list[list[int]] = [[]]
    frames = 0
    for place in np.argsort(noisy, kind="stable").tolist():
        part, clip = clips[place]
        if frames + part.states.length(clip) > recipe.batch_frames and groups[-1]:
            groups.append([])
            frames = 0
        groups[-1].append(place)
        frames += part.states.length(clip)
    for number in random.permutation(len(groups)).tolist():
        yield _batch([clips[place] for place in groups[number]])


def _batch(clips: Sequence[tuple[Told, int]]) -> Batch:
    each = [part.states.of(clip) for part, clip in clips]
    lengths = [len(states) for states in each]
    joined = np.zeros((len(each), max(lengths), each[0].shape[1]), np.float32)
    for row, states in zip(joined, each, strict=True):
        row[: len(states)] = states
    labels = tuple(part.labels[clip] for part, clip in clips)
    return Batch(torch.from_numpy(joined), torch.tensor(lengths), labels)


def errors(tensors: Mapping[str, Tensor], material: Material) -> ErrorCounts:
    """Errors of the letters of all clips kept for validation, each label the likeliest."""
    return _counted(_heard(tensors, material), material.vocabulary, 0.0)


def handicap(tensors: Mapping[str, Tensor], material: Material) -> tuple[float, ErrorCounts]:
    """What to take from the logit of the blank, and the errors then.

    A head learns that most frames are blank, and falls back on it where speech is unlike what it
    learned from: it then leaves out letters. So the blank gives up as much as it can while
    the errors in validation stay within `WORTH` of the fewest.
    """
    heard = _heard(tensors, material)
    counts = {each: _counted(heard, material.vocabulary, each) for each in HANDICAPS}
    fewest = min(found.rate for found in counts.values())
    chosen = max(each for each, found in counts.items() if found.rate <= fewest * WORTH)
    return chosen, counts[chosen]


@dataclass(frozen=True)
class _Heard:
    """Logits (T, V) of a clip, and what is said in it."""

    logits: Floats
    said: str


def _heard(tensors: Mapping[str, Tensor], material: Material) -> list[_Heard]:
    found = []
    with torch.inference_mode():
        for part in material.validation:
            for clip in part.usable():
                states = torch.from_numpy(part.states.of(clip).astype(np.float32))
                said = text(part.labels[clip], material.vocabulary)
                found.append(_Heard(scores(tensors, states[None])[0].numpy(), said))
    return found


def _counted(heard: Sequence[_Heard], vocabulary: Vocabulary, handicap: float) -> ErrorCounts:
    found = ErrorCounts()
    less = np.zeros(len(vocabulary.labels), np.float32)
    less[vocabulary.blank] = handicap
    for each in heard:
        labels = labels_of(greedy(each.logits - less, vocabulary.blank))
        found += character_errors(text(labels, vocabulary), each.said)
    return found
