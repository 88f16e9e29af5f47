"""The report of a training: what was learned from, chosen, measured, and what to doubt."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from embedsvc.probes.choosing import Tried
from embedsvc.probes.doubts import Doubt, doubt, doubts, groups_of_labels
from embedsvc.probes.examples import Examples, Places, Target
from embedsvc.probes.probe import Probe
from embedsvc.probes.testing import MOST_ROWS
from embedsvc.types import ProbeRecipe, ProbeTask

FORMAT = 1

ENOUGH_UNKNOWN = 0.95
"""Share of the background that a probe should refuse."""

NOTES = {
    "ece": "15 bins with equally many answers; `ece_equal_width` has 15 bins of equal width",
    "coverage": "share of prediction sets, or intervals, of the test that hold the truth",
    "unknown_known": "share of the test, which is speech of known kinds, that is refused",
    "unknown_background": "share of the background that is refused; nothing was fitted on it",
    "unknown_left_out": "share refused of labels that a probe like this was trained without",
    "chance": "unweighted accuracy, or mean average precision, of guessing",
    "splits": "with few groups each is tested on in turn, by a probe chosen and trained without",
    "majority": "accuracy of always answering the most frequent label",
}


@dataclass(frozen=True, eq=False)
class Tests:
    """What was measured, and on what.

    `asked` are the examples of all splits; `learned` are those that the first was trained on.
    """

    figures: Mapping[str, float]
    tables: Mapping[str, Any]
    tried: Sequence[Tried]
    learned: Places
    asked: Places
    splits: int


def written(
    examples: Examples, target: Target, recipe: ProbeRecipe, served: Probe, tests: Tests
) -> str:
    """The report as JSON."""
    warnings = doubts(examples, target, tests.asked) + _more(examples, tests)
    report = {
        "format": FORMAT,
        "recipe": asdict(recipe),
        "examples": _counts(examples, target),
        "split": _split(examples, tests),
        "chosen": _chosen(served, tests),
        "tried": [
            {"layers": [examples.spaces[at].layer for at in each.spaces]}
            | {"strength": each.strength, "loss": round(each.loss, 6)}
            for each in tests.tried
        ],
        "figures": dict(tests.figures),
        "notes": dict(NOTES),
        "test": dict(tests.tables),
        "warnings": warnings,
    }
    return json.dumps(report, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _counts(examples: Examples, target: Target) -> dict[str, Any]:
    found: dict[str, Any] = {
        "count": len(examples),
        "groups": len(np.unique(examples.group_places)),
    }
    if target.task is not ProbeTask.REGRESSION:
        counts = target.truth.sum(axis=0, dtype=np.int64).tolist()
        groups = groups_of_labels(examples, target).tolist()
        rows = sorted(zip(target.labels, counts, groups, strict=True), key=lambda row: -row[1])
        found["labels"] = {label: {"examples": n, "groups": g} for label, n, g in rows[:MOST_ROWS]}
    return found


def _split(examples: Examples, tests: Tests) -> dict[str, int]:
    places = examples.group_places
    return {
        "splits": tests.splits,
        "learned": len(tests.learned),
        "learned_groups": len(np.unique(places[tests.learned])),
        "tested": len(tests.asked),
        "tested_groups": len(np.unique(places[tests.asked])),
    }


def _chosen(served: Probe, tests: Tests) -> dict[str, Any]:
    weights = served.numbers.mix.tolist()
    return {
        "strength": tests.tried[0].strength,
        "temperature": float(served.numbers.temperature[0]),
        "layers": [
            {"layer": space.layer, "weight": round(weight, 4)}
            for space, weight in zip(served.info.spaces, weights, strict=True)
        ],
    }


def _more(examples: Examples, tests: Tests) -> list[Doubt]:
    """What the figures themselves give to doubt, and what is missing from them."""
    found = []
    if examples.baseline is None:
        message = (
            "no baseline features were given: how much of this is told by loudness and spectrum "
            "alone is not known"
        )
        found.append(doubt("NO_BASELINE", message))
    refused = tests.figures.get("unknown_background")
    if refused is None:
        message = "no background was given: how much of what is not speech is refused is not known"
        found.append(doubt("NO_BACKGROUND", message))
    elif refused < ENOUGH_UNKNOWN:
        message = f"only {refused:.1%} of the background is refused"
        found.append(doubt("BACKGROUND_ACCEPTED", message, share=refused))
    return found
