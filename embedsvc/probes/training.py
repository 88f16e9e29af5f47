"""Training a probe: chosen, tested on groups it has not met, then fitted on everything."""

import json
import time

import numpy as np

from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.probes.examples import Examples, Places, target as target_of
from embedsvc.probes.evidence import gathered, distances
from embedsvc.probes.fitting import MOST_STEPS, Data, Tried, fit, out_of_fold, searched, _shares
from embedsvc.probes.folds import folds, strata
from embedsvc.probes.numbers import KNOTS, RANKS, Numbers, digest_of
from embedsvc.probes.probe import Probe
from embedsvc.probes.progress import Progress, Tell
from embedsvc.probes.scores import probabilities
from embedsvc.probes.trust import least_probabilities, quantile_up, temperature, weighing
from embedsvc.types import Floats, ProbeInfo, ProbeRecipe, ProbeTask, Space
from dataclasses import replace


def train(  # noqa: PLR0913
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
    """The probe that `recipe` makes of `examples`.

    `background` (m, D) are vectors of what is not speech, in an order that keeps what is alike
    together. `tell` is told of progress at every look at the examples, and may raise.
    """
    target = target_of(examples, recipe.task)
    groups = examples.group_places
    if len(np.unique(groups)) < 2:
        raise InvalidArgument("`groups` must be at least 2, but is 1", field="groups")
    everyone = np.arange(len(examples))
    testing = folds(groups, strata(target), max(2, round(1 / recipe.test_share)), recipe.seed)
    learning = everyone[testing != 0]
    fold_of = folds(groups, strata(target), recipe.folds, recipe.seed + 1)
    choices = _choices(examples, target, recipe)
    total = (len(choices) * len(recipe.strengths) + 2) * recipe.folds * MOST_STEPS + 2 * MOST_STEPS
    progress = Progress(tell, total)
    tried = searched(choices, learning, fold_of, recipe.strengths, progress)
    best = min(tried, key=lambda each: each.loss)
    data = dict(choices)[best.spaces]
    back = None if background is None else _columns(background, examples.spaces, best.spaces)
    spaces = tuple(examples.spaces[at] for at in best.spaces)
    probes = []
    for rows in (learning, everyone):
        oof = out_of_fold(data, rows, fold_of, best.strength, progress, recipe.seed)
        progress.begin("fitting", MOST_STEPS)
        probes.append(_assembled(data, rows, best, oof, back, recipe, spaces, progress))
    figures = _figures(probes[0], data, everyone[testing == 0])
    info = replace(
        probes[1].info,
        name=name,
        version=version,
        created_at=time.time(),
        figures=figures,
        report=json.dumps({"chosen": {"strength": best.strength}}, sort_keys=True),
        license=license,
        about=about,
    )
    progress.finish()
    return Probe(info, probes[1].numbers)


def _choices(examples, target, recipe):
    if recipe.mix_layers or len(examples.spaces) == 1:
        spaces = tuple(range(len(examples.spaces)))
        return [(spaces, Data(examples.vectors, target, recipe.balanced, len(spaces)))]
    return [
        ((at,), Data(_columns(examples.vectors, examples.spaces, (at,)), target, recipe.balanced))
        for at in range(len(examples.spaces))
    ]


def _columns(vectors: Floats, spaces: tuple[Space, ...], chosen: tuple[int, ...]) -> Floats:
    if len(chosen) == len(spaces):
        return vectors
    ends = np.cumsum([space.dim for space in spaces])
    at = chosen[0]
    return vectors[:, ends[at] - spaces[at].dim : ends[at]]


def _assembled(data, rows, best, oof, background, recipe, spaces, progress) -> Probe:
    target = data.target
    fitted = fit(data, rows, best.strength, progress, recipe.seed)
    regression = target.task is ProbeTask.REGRESSION
    labels = 1 if regression else len(target.labels)
    info = ProbeInfo(
        "", 0, target.task, target.labels, spaces, 0.0, "", recipe.alpha, recipe.min_speech_seconds
    )
    heat = 1.0 if regression else temperature(oof.logits, target, oof.rows)
    numbers = Numbers(
        mean=fitted.problem.scale.mean,
        scale=fitted.problem.scale.factor,
        mix=_shares(fitted.line),
        weights=fitted.line.weights.astype(np.float32),
        bias=fitted.line.bias.astype(np.float32),
        temperature=np.array([heat], np.float32),
        curve=np.zeros((0, len(KNOTS)), np.float32),
        least=np.zeros(labels, np.float32),
        answers=np.full(labels, 0.5, np.float32),
        references=fitted.references.astype(np.float16),
        evidence=np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]], np.float32),
        quantiles=np.zeros(len(RANKS), np.float32),
        floors=np.zeros(3, np.float32),
        refused=np.array([recipe.false_unknowns], np.float32),
    )
    if regression:
        off = np.abs(oof.logits - target.truth[oof.rows])[:, 0]
        least = np.array([min(quantile_up(off, recipe.alpha), 1e30)], np.float32)
    else:
        told = probabilities(oof.logits, numbers, target.task)
        least = least_probabilities(told, target, oof.rows, recipe.alpha)
    scores = np.zeros_like(oof.logits) if regression else oof.logits
    known = gathered(scores.astype(np.float32), oof.far)
    strange = None if background is None else Probe(info, numbers).evidence(background)
    weigh = weighing(known, strange, recipe.false_unknowns)
    numbers = replace(
        numbers,
        least=least,
        evidence=weigh.evidence,
        quantiles=weigh.quantiles,
        floors=weigh.floors,
    )
    return Probe(replace(info, digest=digest_of(numbers, info)), numbers)


def _figures(probe, data, rows):
    if probe.info.task is ProbeTask.REGRESSION:
        off = probe.logits(data.vectors[rows]) - data.target.truth[rows]
        return {"mae": float(np.abs(off).mean())}
    told = probe.logits(data.vectors[rows]).argmax(axis=1)
    truth = data.target.classes[rows]
    return {"accuracy": float(np.mean(told == truth)), "chance": 1 / len(data.target.labels)}
