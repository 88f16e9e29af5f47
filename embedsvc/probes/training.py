"""Training a probe: chosen, tested on groups it has not met, then fitted on everything."""

import time
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.probes.assembling import ISOTONIC, TEMPERATURE, Parts, assembled
from embedsvc.probes.choosing import Choices, Tried, choose, fits_to_choose
from embedsvc.probes.examples import Examples, Places, Target
from embedsvc.probes.examples import target as target_of
from embedsvc.probes.fitting import (
    MANY,
    MOST_STEPS,
    Data,
    Effort,
    fit,
    out_of_fold,
    references,
    some,
)
from embedsvc.probes.folds import folds, strata
from embedsvc.probes.objective import Line
from embedsvc.probes.probe import Probe
from embedsvc.probes.progress import Progress, Tell
from embedsvc.probes.report import Tests, written
from embedsvc.probes.testing import tested
from embedsvc.types import Floats, ProbeRecipe, ProbeTask

FEWEST_LABELS_TO_LEAVE_OUT = 6
"""Of single-label probes; with fewer, one without some of them is another probe."""

_SHARE_LEFT_OUT = 0.2

MOST_STRENGTHS = 20


def train(
    name: str,
    version: int,
    examples: Examples,
    recipe: ProbeRecipe,
    *,
    background: Floats | None,
    license: str = "",
    about: str = "",
    tell: Tell,
) -> Probe:
    """The probe that `recipe` makes of `examples`; the same again gives the same digest.

    `background` (m, D) are vectors of what is not speech. Nothing is fitted on them: they tell
    how much of it the probe refuses. `tell(done, total, what)` is called at every look at the
    examples, and may raise to end the training. Raises InvalidArgument for what cannot be learned
    or tested, TensorShape for vectors that do not fit.
    """
    _check_recipe(recipe)
    target = target_of(examples, recipe.task)
    _check_spaces(recipe, examples, background)
    # One thread: training is never urgent, serving is, and sums come out the same everywhere.
    with threadpool_limits(1, user_api="blas"):
        session = _Session(examples, target, recipe, background, tell)
        probe, figures, report = session.run()
    info = replace(
        probe.info,
        name=name,
        version=version,
        created_at=time.time(),
        figures=figures,
        report=report,
        license=license,
        about=about,
    )
    return Probe(info, probe.numbers)


def _check_recipe(recipe: ProbeRecipe) -> None:
    methods = (TEMPERATURE, ISOTONIC)
    ranges = {
        "folds": (2, 20),
        "alpha": (0.001, 0.5),
        "false_unknowns": (0, 0.5),
        "min_speech_seconds": (0, 3600),
        "test_share": (0.05, 0.5),
        "seed": (0, 1 << 62),
    }
    for name, (low, high) in ranges.items():
        value = getattr(recipe, name)
        if not low <= value <= high:
            raise InvalidArgument(f"`{name}` must be {low} to {high}, but is {value}", field=name)
    sound = all(1e-9 <= each <= 1e9 for each in recipe.strengths)
    if not sound or not 1 <= len(recipe.strengths) <= MOST_STRENGTHS:
        raise InvalidArgument(
            f"`strengths` must be 1 to {MOST_STRENGTHS} numbers from 1e-9 to 1e9, "
            f"but are {recipe.strengths}",
            field="strengths",
        )
    if recipe.calibration not in methods:
        raise InvalidArgument(
            f"`calibration` must be {' or '.join(methods)}, but is {recipe.calibration!r}",
            field="calibration",
        )


def _check_spaces(recipe: ProbeRecipe, examples: Examples, background: Floats | None) -> None:
    widths = sorted({space.dim for space in examples.spaces})
    if recipe.mix_layers and len(widths) > 1:
        raise InvalidArgument(
            f"`mix_layers` must be of spaces with equal dimensions, but they have {widths}",
            field="mix_layers",
        )
    if background is None:
        return
    width = examples.vectors.shape[-1]
    if background.ndim != 2 or background.shape[1] != width:
        raise TensorShape(
            f"`background` must be [m, {width}], but is {list(background.shape)}",
            field="background",
        )
    if not np.isfinite(background).all():
        raise TensorShape("`background` must be finite, but is not", field="background")


@dataclass(frozen=True, eq=False)
class _Split:
    """Places of examples to learn from, with the fold of each, and to test on."""

    learn: Places
    fold_of: Places
    test: Places


class _Session:
    """One training, from examples to the report."""

    def __init__(
        self,
        examples: Examples,
        target: Target,
        recipe: ProbeRecipe,
        background: Floats | None,
        tell: Tell,
    ) -> None:
        self._examples = examples
        self._target = target
        self._recipe = recipe
        self._background = background
        self._split = self._halves()
        self._choices = self._columns(examples.vectors)
        self._progress = Progress(tell, self._fits() * MOST_STEPS)

    def run(self) -> tuple[Probe, dict[str, float], str]:
        """The probe to be served, the figures of its test, and the report."""
        recipe, split = self._recipe, self._split
        tried = choose(self._choices, split.learn, split.fold_of, recipe.strengths, self._progress)
        best = tried[0]
        data = self._choices[best.spaces]
        trial, line = self._probe(data, best, split.learn, split.fold_of, None)
        figures, tables = tested(trial, data.vectors, self._target, split.learn, split.test)
        figures |= self._of_strangers(data, best, trial)
        figures |= self._of_baseline()
        everyone = np.arange(len(self._examples))
        served, _ = self._probe(data, best, everyone, self._folds(everyone), line)
        tests = Tests(figures, tables, tried, split.learn, split.test)
        report = written(self._examples, self._target, recipe, served, tests)
        self._progress.finish()
        return served, figures, report

    def _fits(self) -> int:
        recipe = self._recipe
        choosing = fits_to_choose(len(self._choices), len(recipe.strengths), recipe.folds)
        more = 3 * (recipe.folds + 1)
        if self._examples.baseline is not None:
            more += fits_to_choose(1, len(recipe.strengths), recipe.folds) + 1
        return choosing + more

    def _folds(self, rows: Places) -> Places:
        recipe = self._recipe
        columns = strata(self._target)[rows]
        return folds(self._examples.group_places[rows], columns, recipe.folds, recipe.seed)

    def _halves(self) -> _Split:
        recipe = self._recipe
        parts = round(1 / recipe.test_share)
        fold = folds(self._examples.group_places, strata(self._target), parts, recipe.seed)
        learn, test = np.flatnonzero(fold != 0), np.flatnonzero(fold == 0)
        fold_of = self._folds(learn) if len(learn) else learn
        if not len(test) or not (fold_of >= 0).any():
            raise InvalidArgument(
                "`groups` must be at least 3 for some label, one to learn from, one to choose by "
                f"and one to test on, but are {len(np.unique(self._examples.group_places))} in all",
                field="groups",
            )
        return _Split(learn, fold_of, test)

    def _columns(self, vectors: Floats) -> Choices:
        """What may be learned from: the mix of all spaces, or each of them."""
        spaces, balanced = self._examples.spaces, self._recipe.balanced
        kept = self._examples.kept
        if self._recipe.mix_layers or len(spaces) == 1:
            every = tuple(range(len(spaces)))
            return {every: Data(vectors, self._target, balanced, len(spaces), kept=kept)}
        ends = np.cumsum([space.dim for space in spaces]).tolist()
        return {
            (at,): Data(vectors[:, end - space.dim : end], self._target, balanced, kept=kept)
            for at, (space, end) in enumerate(zip(spaces, ends, strict=True))
        }

    def _probe(
        self, data: Data, best: Tried, rows: Places, fold_of: Places, start: Line | None
    ) -> tuple[Probe, Line]:
        """The probe of `rows`, and where its fit ended."""
        recipe, progress = self._recipe, self._progress
        effort = Effort(best.strength, start=start)
        unseen = out_of_fold(data, rows, fold_of, effort, progress, recipe.seed)
        progress.begin("fitting", MOST_STEPS)
        fitted = fit(data, rows, effort, progress)
        spaces = tuple(self._examples.spaces[at] for at in best.spaces)
        near = references(data, rows, recipe.seed)
        return assembled(Parts(data, fitted, unseen, near, spaces), recipe), fitted.line

    def _of_strangers(self, data: Data, best: Tried, trial: Probe) -> dict[str, float]:
        """How much of what it should not know is unknown to a probe."""
        found = {}
        if self._background is not None and len(self._background):
            strange = self._columns(self._background)[best.spaces].vectors
            told = trial.told(strange.astype(np.float32, copy=False))
            found["unknown_background"] = float(trial.is_unknown(told.belonging).mean())
        left = self._left_out()
        if len(left):
            found["unknown_left_out"] = self._of_left_out(data, best, left)
        return found

    def _left_out(self) -> Places:
        """Places of the labels that a probe is trained without, to be asked about."""
        target, recipe = self._target, self._recipe
        if target.task is not ProbeTask.SINGLE_LABEL:
            return np.zeros(0, np.intp)
        there = np.unique(target.classes[self._split.test])
        if len(target.labels) < FEWEST_LABELS_TO_LEAVE_OUT or len(there) < 2:
            return np.zeros(0, np.intp)
        count = max(1, round(len(there) * _SHARE_LEFT_OUT))
        return np.sort(np.random.default_rng(recipe.seed).permutation(there)[:count])

    def _of_left_out(self, data: Data, best: Tried, left: Places) -> float:
        target, split = self._target, self._split
        kept = np.setdiff1d(np.arange(len(target.labels)), left)
        labels = tuple(target.labels[at] for at in kept)
        fewer = replace(target, labels=labels, truth=target.truth[:, kept])
        inside = np.flatnonzero(~np.isin(target.classes[split.learn], left))
        inside = some(inside, MANY, self._recipe.seed)
        rows, fold_of = split.learn[inside], split.fold_of[inside]
        probe, _ = self._probe(replace(data, target=fewer), best, rows, fold_of, None)
        asked = split.test[np.isin(target.classes[split.test], left)]
        return float(probe.is_unknown(probe.told(data.vectors[asked]).belonging).mean())

    def _of_baseline(self) -> dict[str, float]:
        """Figures of the same recipe on the other features."""
        baseline = self._examples.baseline
        if baseline is None:
            return {}
        recipe, split, target = self._recipe, self._split, self._target
        data = Data(baseline.astype(np.float32, copy=False), target, recipe.balanced)
        tried = choose({(0,): data}, split.learn, split.fold_of, recipe.strengths, self._progress)
        best = replace(tried[0], spaces=(0,))
        self._progress.begin("baseline", MOST_STEPS)
        probe, _ = self._probe(data, best, split.learn, split.fold_of, None)
        figures, _ = tested(probe, data.vectors, target, split.learn, split.test)
        return {f"baseline_{name}": figures[name] for name in COMPARED if name in figures}


COMPARED = (
    "accuracy",
    "unweighted_accuracy",
    "macro_f1",
    "micro_f1",
    "mean_average_precision",
    "mae",
    "rmse",
    "r2",
    "concordance",
)
"""Figures that are told of the baseline too."""
