"""Fit a projection that brings together what says the same in different languages.

A linear map ((x - mean) * scale) @ matrix of pooled vectors, as every model directory may bring.
It learns from groups of clips that say the same in several languages, by a contrastive loss among
the clips of a batch (van den Oord, Li and Vinyals 2018, "Representation learning with contrastive
predictive coding"; with all positives of a clip, Khosla et al. 2020, "Supervised contrastive
learning"); or from vectors of texts, by cosine (Khurana, Laurent and Glass 2022, "SAMU-XLSR").
Whole groups are kept back, and the matrix that finds most among these is the one that is kept.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from numpy.typing import NDArray
from torch import Tensor

from embedsvc.errors import InvalidArgument
from embedsvc.evaluation.crossing import Crossing, cross
from embedsvc.evaluation.same_content import unit
from embedsvc.training.nuisances import nuisances, without
from embedsvc.training.projections import Parts, discriminate, whiten
from embedsvc.types import Floats

LEAST_GROUPS = 20
"""Fewest groups in two languages or more that are worth learning from."""

Texts = NDArray[np.str_]
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Material:
    """Pooled vectors (views, n, D) of clips, each clip as it is and perhaps as others hear it.

    Clips of equal `groups` (n,) say the same, those of one of `domains` (n,) come from one set of
    recordings. `teachers` (n, E) are vectors of their texts.
    """

    vectors: Floats
    languages: Texts
    groups: Texts
    domains: Texts
    teachers: Floats | None = None

    def __len__(self) -> int:
        return len(self.groups)

    def take(self, places: NDArray[Any]) -> "Material":
        """Those at some places."""
        return Material(
            self.vectors[:, places],
            self.languages[places],
            self.groups[places],
            self.domains[places],
            None if self.teachers is None else self.teachers[places],
        )


@dataclass(frozen=True)
class Plan:
    """How to learn; the defaults are those of the projection `aligned` of mini.

    A batch holds `groups` contents in `languages` each, and as many `strangers`: clips that nobody
    says again, which are only wrong. `nuisances` is how many directions are taken out in which sets
    of recordings differ as a whole. `hard` is the share of contents that are chosen because they
    are near another of the batch. `decay` pulls back to where it began. `patience` are checks, one
    every `every` steps, without a better figure until it ends.
    """

    dim: int = 256
    steps: int = 300
    groups: int = 192
    languages: int = 4
    strangers: int = 192
    nuisances: int = 8
    temperature: float = 0.05
    rate: float = 1e-3
    decay: float = 10.0
    hard: float = 0.0
    every: int = 50
    patience: int = 8
    kept_back: float = 0.1
    seed: int = 1

    def __post_init__(self) -> None:
        for name, right in (
            ("dim", self.dim >= 1),
            ("steps", self.steps >= 0),
            ("groups", self.groups >= 2),
            ("languages", self.languages >= 2),
            ("temperature", self.temperature > 0),
            ("nuisances", self.nuisances >= 0),
            ("hard", 0 <= self.hard <= 1),
            ("kept_back", 0 < self.kept_back < 1),
        ):
            if not right:
                raise InvalidArgument(f"`{name}` must not be {getattr(self, name)}", field=name)


@dataclass(frozen=True)
class Point:
    """Where a run was: its loss, the mean since the last check, and R@1 of groups kept back."""

    step: int
    loss: float
    recall: float


@dataclass(frozen=True)
class Aligned:
    """A fitted map, how it came to be, and figures of groups kept back, before and after."""

    parts: Parts
    points: tuple[Point, ...]
    before: Crossing
    after: Crossing
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __call__(self, vectors: Floats) -> Floats:
        """Vectors (n, D) as (n, dim), of length 1."""
        return project(self.parts, vectors)


Tell = Callable[[Point, int], None]
"""Told of each check, and of how many steps there may be."""


def project(parts: Parts, vectors: Floats) -> Floats:
    """Vectors (n, D) through mean, scale and matrix, of length 1."""
    mean, scale, matrix = parts
    moved: Floats = (vectors - mean) * scale
    return unit(np.matmul(moved, matrix, dtype=np.float32))


def align(material: Material, base: Parts | None, plan: Plan, tell: Tell) -> Aligned:
    """Fit a map, beginning with `base`, or without one with a discriminant analysis.

    Vectors through `base`, or as they are, are what it is compared with. Raises `InvalidArgument`
    for material with too little in common between languages.
    """
    started = time.perf_counter()
    crossing = _crossing(material)
    kept = _kept_back(material.groups[crossing], plan)
    is_kept = np.isin(material.groups, list(kept))
    learned, held = material.take(crossing & ~is_kept), material.take(crossing & is_kept)
    strangers = material.take(~crossing & ~is_kept)
    run = _Run(learned, held, strangers, base, plan)
    parts, points = run.fit(tell)
    return Aligned(
        parts=parts,
        points=tuple(points),
        before=cross(_before(base, held.vectors[0]), held.languages, held.groups),
        after=cross(project(parts, held.vectors[0]), held.languages, held.groups),
        counts={
            "clips": len(learned),
            "groups": len(set(learned.groups)),
            "languages": len(set(learned.languages)),
            "strangers": len(strangers),
            "clips_kept_back": len(held),
            "groups_kept_back": len(kept),
        },
        seconds=time.perf_counter() - started,
    )


def _before(base: Parts | None, vectors: Floats) -> Floats:
    return unit(vectors) if base is None else project(base, vectors)


def document(aligned: Aligned) -> dict[str, Any]:
    """Everything about a fit, for JSON."""
    return {
        "counts": dict(aligned.counts),
        "seconds": round(aligned.seconds, 1),
        "checks": [
            {
                "step": point.step,
                "loss": round(point.loss, 4) if point.step else None,
                "recall": round(point.recall, 4),
            }
            for point in aligned.points
        ],
        "before": aligned.before.as_object(),
        "after": aligned.after.as_object(),
    }


class _Run:
    """What one fit needs at hand."""

    def __init__(
        self,
        learned: Material,
        held: Material,
        strangers: Material,
        base: Parts | None,
        plan: Plan,
    ) -> None:
        self.plan, self.base = plan, base
        self.learned, self.held, self.strangers = learned, held, strangers
        self.random = np.random.default_rng(plan.seed)
        _, self.groups = np.unique(learned.groups, return_inverse=True)
        _, self.languages = np.unique(learned.languages, return_inverse=True)
        self.members = _members(self.groups)
        # A language with few clips is drawn as often for each as one with many, nearly.
        self.weights = 1 / np.sqrt(np.bincount(self.languages))
        self.near: Numbers | None = None

    def fit(self, tell: Tell) -> tuple[Parts, list[Point]]:
        """The parts that found most, and every check."""
        plan = self.plan
        (mean, scale, first), teachers = self._start()
        away = self._nuisances(mean, scale)
        first = without(first, away)
        standard = torch.from_numpy((self.learned.vectors - mean) * scale)
        others = torch.from_numpy((self.strangers.vectors - mean) * scale)
        matrix, origin = torch.from_numpy(first.copy()).requires_grad_(), torch.from_numpy(first)
        optimizer = torch.optim.Adam([matrix], lr=plan.rate)
        points = [Point(0, float("nan"), self._recall((mean, scale, first)))]
        best, since, losses = (points[0].recall, first), 0, list[float]()
        for step in range(1, plan.steps + 1):
            rate = plan.rate * (1 - (step - 1) / plan.steps)
            optimizer.param_groups[0]["lr"] = rate
            loss = self._step(matrix, standard, others, teachers)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                # What was known before is not to be forgotten, nor nuisances to be learned.
                matrix.lerp_(origin, min(1.0, plan.decay * rate))
                matrix.copy_(torch.from_numpy(without(matrix.numpy(), away)))
            losses.append(loss.item())
            if step % plan.every and step < plan.steps:
                continue
            now = without(matrix.detach().numpy(), away)
            points.append(Point(step, float(np.mean(losses)), self._recall((mean, scale, now))))
            losses = []
            tell(points[-1], plan.steps)
            better = points[-1].recall > best[0]
            best, since = ((points[-1].recall, now), 0) if better else (best, since + 1)
            if since >= plan.patience:
                break
            self._look_around(standard[0], matrix)
        return (mean, scale, best[1]), points

    def _step(
        self, matrix: Tensor, standard: Tensor, others: Tensor, teachers: Tensor | None
    ) -> Tensor:
        """The loss of one batch."""
        chosen = self._choose()
        views = self.random.integers(len(standard), size=len(chosen))
        outputs = F.normalize(standard[views, chosen] @ matrix, dim=1)
        if teachers is not None:
            return (1 - (outputs * teachers[chosen]).sum(dim=1)).mean()
        count = min(self.plan.strangers, others.shape[1])
        unknown = self.random.permutation(others.shape[1])[:count]
        views = self.random.integers(len(others), size=count)
        return contrast(
            outputs,
            torch.from_numpy(self.groups[chosen]),
            torch.from_numpy(self.languages[chosen]),
            self.plan.temperature,
            F.normalize(others[views, unknown] @ matrix, dim=1),
        )

    def _nuisances(self, mean: Floats, scale: Floats) -> Floats:
        """Directions in which the sets that may be learned from differ as a whole."""
        both = (self.learned, self.strangers)
        vectors = np.concatenate([each.vectors[0] for each in both])
        domains = np.concatenate([each.domains for each in both])
        return nuisances((vectors - mean) * scale, domains, self.plan.nuisances)

    def _start(self) -> tuple[Parts, Tensor | None]:
        """Where to begin, and the texts' vectors as the projection is to have them."""
        flat = self.learned.vectors.reshape(-1, self.learned.vectors.shape[2])
        if self.learned.teachers is None and self.base is not None:
            return self.base, None
        if self.learned.teachers is None:
            classes = np.tile(self.groups, len(self.learned.vectors))
            return discriminate(flat, classes, min(self.plan.dim, flat.shape[1])), None
        targets = _shortened(self.learned.teachers, min(self.plan.dim, flat.shape[1]))
        mean, scale, matrix = whiten(flat, flat.shape[1])
        white = ((self.learned.vectors[0] - mean) * scale) @ matrix
        ridge = white.T @ white + len(white) * np.eye(white.shape[1], dtype=np.float32)
        start = np.linalg.solve(ridge, white.T @ targets).astype(np.float32)
        return (mean, scale, matrix @ start), torch.from_numpy(targets)

    def _choose(self) -> Numbers:
        """Clips of a batch: some contents, each in some languages."""
        count = min(self.plan.groups, len(self.members))
        chosen = self.random.permutation(len(self.members))[:count]
        if self.near is not None:
            hard = int(count * self.plan.hard) // 2
            if hard:
                chosen[-hard:] = self.near[chosen[:hard]]
                chosen = np.unique(chosen)
        return np.concatenate([self._drawn(self.members[group]) for group in chosen])

    def _drawn(self, clips: Numbers) -> Numbers:
        """Some clips of one content, each in another language."""
        keys = self.random.exponential(size=len(clips)) / self.weights[self.languages[clips]]
        ordered = clips[np.argsort(keys)]
        _, first = np.unique(self.languages[ordered], return_index=True)
        return ordered[np.sort(first)][: self.plan.languages]

    def _recall(self, parts: Parts) -> float:
        vectors = project(parts, self.held.vectors[0])
        found = cross(vectors, self.held.languages, self.held.groups, pairs=False)
        return found.together.hits[1]

    def _look_around(self, standard: Tensor, matrix: Tensor) -> None:
        """Of each content, the other whose mean vector is nearest."""
        if not self.plan.hard or self.learned.teachers is not None:
            return
        with torch.inference_mode():
            outputs = F.normalize(standard @ matrix, dim=1)
            sums = torch.zeros(len(self.members), outputs.shape[1])
            sums.index_add_(0, torch.from_numpy(self.groups), outputs)
            means = F.normalize(sums, dim=1)
            scores = means @ means.T
            scores.fill_diagonal_(-1)
            self.near = scores.argmax(dim=1).numpy()


def contrast(
    outputs: Tensor,
    groups: Tensor,
    languages: Tensor,
    temperature: float,
    strangers: Tensor | None = None,
) -> Tensor:
    """Mean over all pairs of one group in two languages of -log softmax against what is wrong.

    `outputs` (N, d) are of length 1. Wrong are all clips of other groups, those of either language
    among them: a vector must not be found for its language. `strangers` (M, d) are wrong for all.
    """
    scores = outputs @ outputs.T / temperature
    same = groups[:, None] == groups[None]
    right = same & (languages[:, None] != languages[None])
    wrong = scores.masked_fill(same, -torch.inf)
    if strangers is not None and len(strangers):
        wrong = torch.cat([wrong, outputs @ strangers.T / temperature], dim=1)
    losses = F.softplus(wrong.logsumexp(dim=1, keepdim=True) - scores)
    return losses[right].mean()


def _crossing(material: Material) -> NDArray[np.bool_]:
    """Whether the group of a clip is said in two languages or more."""
    said: dict[str, set[str]] = {}
    for group, language in zip(material.groups, material.languages, strict=True):
        said.setdefault(str(group), set()).add(str(language))
    fit = {group for group, languages in said.items() if group and len(languages) > 1}
    if len(fit) < LEAST_GROUPS:
        raise InvalidArgument(
            f"`INDEX.tsv` must have at least {LEAST_GROUPS} groups that are said in two languages, "
            f"but has {len(fit)}"
        )
    return np.isin(material.groups, list(fit))


def _kept_back(groups: Texts, plan: Plan) -> set[str]:
    names = np.unique(groups)
    order = np.random.default_rng(plan.seed).permutation(len(names))
    return {str(name) for name in names[order[: max(2, round(len(names) * plan.kept_back))]]}


def _members(groups: Numbers) -> list[Numbers]:
    """Clips of each group."""
    order = np.argsort(groups, kind="stable")
    return np.split(order, np.cumsum(np.bincount(groups))[:-1])


def _shortened(teachers: Floats, dim: int) -> Floats:
    """Vectors of texts, centered, in their `dim` principal components, of length 1."""
    centered = teachers.astype(np.float64) - teachers.mean(axis=0)
    if centered.shape[1] > dim:
        _, components = np.linalg.eigh(centered.T @ centered)
        centered = centered @ components[:, ::-1][:, :dim]
    return unit(centered.astype(np.float32))
