"""What makes figures doubtful: seen in the examples, and said in the report."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedsvc.probes.evidence import unit
from embedsvc.probes.examples import OF_RECORDING, Examples, Places, Target
from embedsvc.probes.fitting import some
from embedsvc.types import Floats, ProbeTask

FEW_EXAMPLES = 10
FEW_TEST_GROUPS = 10
FEW_GROUPS_OF_A_LABEL = 3
UNBALANCED = 20.0
"""Examples of the most frequent label for one of the rarest."""

SAME = 0.9999
"""Cosine of two vectors, less the mean of all, from which they are of the same recording."""

MOST_COMPARED = 2000
MOST_COMPARED_WITH = 20_000
MOST_NAMED = 20

Doubt = dict[str, Any]


def doubt(code: str, message: str, **facts: float | list[str]) -> Doubt:
    """One warning of a report."""
    return {"code": code, "message": message, **facts}


def doubts(examples: Examples, target: Target, asked: Places) -> list[Doubt]:
    """All that is amiss with examples, of which `asked` were tested on."""
    found = _of_groups(examples, asked)
    if target.task is not ProbeTask.REGRESSION:
        found += _of_labels(examples, target, asked)
    return found + _of_copies(examples)


def _of_groups(examples: Examples, asked: Places) -> list[Doubt]:
    found = []
    if not _named_groups(examples):
        found.append(
            doubt(
                "NO_GROUPS",
                "no groups were given: if a speaker has several examples, the figures tell how "
                "well speakers are recognized",
            )
        )
    count = len(np.unique(examples.group_places[asked]))
    if count < FEW_TEST_GROUPS:
        found.append(
            doubt(
                "FEW_TEST_GROUPS", f"the test has {count} groups: figures are rough", groups=count
            )
        )
    return found


def _named_groups(examples: Examples) -> bool:
    """Whether anybody said what belongs together, but for parts of one recording."""
    return any(group and not group.startswith(OF_RECORDING) for group in examples.groups)


def groups_of_labels(examples: Examples, target: Target) -> NDArray[np.intp]:
    """In how many groups each label is, (C,)."""
    rows, label = np.nonzero(target.truth)
    pairs = np.unique(np.stack([label, examples.group_places[rows]]), axis=1)
    return np.bincount(pairs[0], minlength=len(target.labels))


def _of_labels(examples: Examples, target: Target, asked: Places) -> list[Doubt]:
    counts = target.truth.sum(axis=0, dtype=np.int64)
    groups = groups_of_labels(examples, target)
    tested = target.truth[asked].sum(axis=0, dtype=np.int64)
    found = [
        *_named("ONE_GROUP", "cannot be told from their only group", target, groups == 1),
        *_named(
            "FEW_EXAMPLES",
            f"have fewer than {FEW_EXAMPLES} examples",
            target,
            counts < FEW_EXAMPLES,
        ),
        *_named("UNTESTED", "are not in the test", target, tested == 0),
    ]
    ratio = counts.max() / counts.min()
    if ratio > UNBALANCED:
        found.append(
            doubt(
                "UNBALANCED",
                f"the most frequent label has {ratio:.0f} times the examples of the rarest",
                ratio=float(ratio),
            )
        )
    return found + _of_fixed_labels(examples, target, groups)


def _named(code: str, what: str, target: Target, which: NDArray[np.bool_]) -> list[Doubt]:
    names = [target.labels[at] for at in np.flatnonzero(which)]
    if not names:
        return []
    shown = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
    some_of = f"{len(names)} of {len(target.labels)} labels {what}: {shown}"
    return [doubt(code, some_of, labels=names[:MOST_NAMED], count=len(names))]


def _of_fixed_labels(examples: Examples, target: Target, groups: NDArray[np.intp]) -> list[Doubt]:
    """Whether a label could be told by whatever else its few groups share."""
    pairs = int(groups.sum())
    fixed = pairs == len(np.unique(examples.group_places[target.truth.any(axis=1)]))
    typical = float(np.median(groups))
    if not fixed or typical > FEW_GROUPS_OF_A_LABEL or not _named_groups(examples):
        return []
    message = (
        f"every group has one label, and a label has {typical:g} groups (median): what is told "
        "may be the speaker, the microphone or the corpus"
    )
    return [doubt("LABEL_FIXED_IN_GROUP", message, groups_of_a_label=typical)]


def _of_copies(examples: Examples) -> list[Doubt]:
    """Whether vectors of one group are, nearly, in another too."""
    pool = some(np.arange(len(examples)), MOST_COMPARED_WITH, 0)
    asked = some(pool, MOST_COMPARED, 1)
    found = copies(examples.vectors, examples.group_places, asked, pool)
    if not found:
        return []
    share = found / len(asked)
    message = (
        f"{found} of {len(asked)} vectors that were looked at are, to a cosine of {SAME}, in "
        "another group too: the test may hold what was learned"
    )
    return [doubt("COPIES_ACROSS_GROUPS", message, copies=found, share=share)]


def copies(vectors: Floats, groups: Places, asked: Places, pool: Places) -> int:
    """How many of `asked` have a copy in `pool` that is of another group."""
    mean = vectors[pool].mean(axis=0)
    near = unit(vectors[pool] - mean)
    found = 0
    for start in range(0, len(asked), 256):
        part = asked[start : start + 256]
        same = unit(vectors[part] - mean) @ near.T > SAME
        same &= groups[part][:, None] != groups[pool]
        found += int(same.any(axis=1).sum())
    return found
