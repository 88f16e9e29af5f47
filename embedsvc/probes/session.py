"""One training, from examples to the report."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import InvalidArgument
from embedsvc.probes.assembling import Parts, assembled
from embedsvc.probes.choosing import Choices, Tried, choose, fits_to_choose
from embedsvc.probes.doubts import FEW_TEST_GROUPS
from embedsvc.probes.examples import Examples, Places, Target
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
from embedsvc.probes.testing import Heard, heard, joined, tested
from embedsvc.types import Floats, ProbeRecipe, ProbeTask

Flags = NDArray[np.bool_]

FEWEST_LABELS_TO_LEAVE_OUT = 6
"""Of single-label probes; with fewer, one without some of them is another probe."""

_SHARE_LEFT_OUT = 0.2

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


@dataclass(frozen=True, eq=False)
class Split:
    """Places of examples to learn from, with the fold of each, and to test on."""

    learn: Places
    fold_of: Places
    test: Places


@dataclass(frozen=True, eq=False)
class Trial:
    """What came of one split: what was tried, said, and refused of strangers."""

    tried: list[Tried]
    line: Line
    said: Heard
    background: Flags
    left_out: Flags


class Session:
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
        self._choices = self._columns(examples.vectors)
        tell(0, 1, "splitting")
        self._splits = self._splitted()
        self._progress = Progress(tell, self._fits() * MOST_STEPS)

    def run(self) -> tuple[Probe, dict[str, float], str]:
        """The probe to be served, the figures of its test, and the report."""
        trials = [self._trial(split, at) for at, split in enumerate(self._splits)]
        said = joined([each.said for each in trials])
        figures, tables = tested(said, self._target)
        figures |= _refused(trials) | self._of_baseline()
        everyone = np.arange(len(self._examples))
        fold_of = self._folds(everyone)
        tried = trials[0].tried
        line: Line | None = trials[0].line
        if len(trials) > 1:
            tried = choose(self._choices, everyone, fold_of, self._recipe.strengths, self._progress)
            line = None
        served, _ = self._probe(self._choices[tried[0].spaces], tried[0], everyone, fold_of, line)
        tests = Tests(figures, tables, tried, self._splits[0].learn, said.rows, len(trials))
        report = written(self._examples, self._target, self._recipe, served, tests)
        self._progress.finish()
        return served, figures, report

    def _fits(self) -> int:
        """How many fits are done at most."""
        recipe, splits = self._recipe, len(self._splits)
        strengths = len(recipe.strengths)
        once = recipe.folds + 1
        choosing = fits_to_choose(len(self._choices), strengths, recipe.folds)
        trial = choosing + 2 * once
        if self._examples.baseline is not None:
            trial += fits_to_choose(1, strengths, recipe.folds) + once
        return splits * trial + (choosing if splits > 1 else 0) + once

    def _folds(self, rows: Places) -> Places:
        recipe = self._recipe
        columns = strata(self._target)[rows]
        return folds(self._examples.group_places[rows], columns, recipe.folds, recipe.seed)

    def _splitted(self) -> list[Split]:
        """One split, or of few groups each in turn."""
        recipe, groups = self._recipe, self._examples.group_places
        parts = round(1 / recipe.test_share)
        fold = folds(groups, strata(self._target), parts, recipe.seed)
        few = len(np.unique(groups[fold == 0])) < FEW_TEST_GROUPS and len(fold) <= MANY
        splits = []
        for part in range(parts if few else 1):
            learn, test = np.flatnonzero(fold != part), np.flatnonzero(fold == part)
            fold_of = self._folds(learn) if len(learn) else learn
            if len(test) and (fold_of >= 0).any():
                splits.append(Split(learn, fold_of, test))
        if not splits or not (self._folds(np.arange(len(fold))) >= 0).any():
            raise InvalidArgument(
                "`groups` must be at least 3 for some label, one to learn from, one to choose by "
                f"and one to test on, but are {len(np.unique(groups))} in all",
                field="groups",
            )
        return splits

    def _trial(self, split: Split, at: int) -> Trial:
        recipe = self._recipe
        tried = choose(self._choices, split.learn, split.fold_of, recipe.strengths, self._progress)
        best = tried[0]
        data = self._choices[best.spaces]
        probe, line = self._probe(data, best, split.learn, split.fold_of, None)
        said = heard(probe, data.vectors, split.test)
        background = self._of_background(probe, best)
        return Trial(tried, line, said, background, self._of_left_out(split, data, best, at))

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

    def _of_background(self, probe: Probe, best: Tried) -> Flags:
        """Which of the background a probe refuses."""
        if self._background is None:
            return np.zeros(0, np.bool_)
        strange = self._columns(self._background)[best.spaces].vectors
        told = probe.told(strange.astype(np.float32, copy=False))
        return probe.is_unknown(told.belonging)

    def _left_out(self, split: Split, at: int) -> Places:
        """Places of the labels that a probe is trained without, to be asked about."""
        target = self._target
        if (
            len(target.labels) < FEWEST_LABELS_TO_LEAVE_OUT
            or target.task is not ProbeTask.SINGLE_LABEL
        ):
            return np.zeros(0, np.intp)
        there = np.unique(target.classes[split.test])
        count = round(len(there) * _SHARE_LEFT_OUT)
        chance = np.random.default_rng((self._recipe.seed, at))
        return np.sort(chance.permutation(there)[:count])

    def _of_left_out(self, split: Split, data: Data, best: Tried, at: int) -> Flags:
        """Which examples of labels that it was trained without a probe like this refuses."""
        target, left = self._target, self._left_out(split, at)
        if not len(left):
            return np.zeros(0, np.bool_)
        kept = np.setdiff1d(np.arange(len(target.labels)), left)
        labels = tuple(target.labels[place] for place in kept)
        fewer = replace(target, labels=labels, truth=target.truth[:, kept])
        inside = np.flatnonzero(~np.isin(target.classes[split.learn], left))
        inside = some(inside, MANY, self._recipe.seed)
        rows, fold_of = split.learn[inside], split.fold_of[inside]
        if not (fold_of >= 0).any():
            return np.zeros(0, np.bool_)
        probe, _ = self._probe(replace(data, target=fewer), best, rows, fold_of, None)
        asked = split.test[np.isin(target.classes[split.test], left)]
        return probe.is_unknown(probe.told(data.vectors[asked]).belonging)

    def _of_baseline(self) -> dict[str, float]:
        """Figures of the same recipe on the other features."""
        baseline = self._examples.baseline
        if baseline is None:
            return {}
        target, progress = self._target, self._progress
        data = Data(baseline.astype(np.float32, copy=False), target, self._recipe.balanced)
        said = []
        for split in self._splits:
            choices: Choices = {(0,): data}
            tried = choose(choices, split.learn, split.fold_of, self._recipe.strengths, progress)
            probe, _ = self._probe(data, tried[0], split.learn, split.fold_of, None)
            said.append(heard(probe, data.vectors, split.test))
        figures, _ = tested(joined(said), target)
        return {f"baseline_{name}": figures[name] for name in COMPARED if name in figures}


def _refused(trials: list[Trial]) -> dict[str, float]:
    """Shares of what should be unknown that is."""
    parts = {
        "unknown_background": np.concatenate([each.background for each in trials]),
        "unknown_left_out": np.concatenate([each.left_out for each in trials]),
    }
    return {name: float(flags.mean()) for name, flags in parts.items() if len(flags)}
