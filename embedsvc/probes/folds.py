"""Splits that never part a group, with every label on the side that is trained on."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from embedsvc.probes.examples import Places, Target, Truth
from embedsvc.types import ProbeTask

Doubles = NDArray[np.float64]

ALWAYS = -1
"""The fold of examples that are always trained on: without them a label would have none."""

_BINS = 5
"""Parts of equal size that the numbers of a regression are cut into to be spread evenly."""


def strata(target: Target) -> Truth:
    """Columns (n, S) whose sums the folds should share equally."""
    if target.task is not ProbeTask.REGRESSION:
        return target.truth
    values = target.truth[:, 0]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.eye(len(edges) + 1)[np.searchsorted(edges, values, side="right")]


def folds(groups: Places, columns: Truth, count: int, seed: int) -> Places:
    """The fold (n,) of each example, from 0, or `ALWAYS`.

    Groups go one by one, the largest first, to the fold that has least of what they bring. Then
    a group whose absence would leave a column without any example is taken out of its fold.
    """
    unique, members = np.unique(groups, return_inverse=True)
    brings = _brought(members, len(unique), columns)
    sizes = np.bincount(members)
    order = np.lexsort((np.random.default_rng(seed).random(len(unique)), -sizes))
    totals = np.append(np.maximum(columns.sum(axis=0), 1), len(groups))
    held = np.zeros((len(totals), min(count, len(unique))))
    fold_of = np.empty(len(unique), np.intp)
    for group in order:
        part = slice(brings.indptr[group], brings.indptr[group + 1])
        where, much = brings.indices[part], brings.data[part]
        load = (much / totals[where] ** 2) @ held[where]
        fold = int(load.argmin())
        held[where, fold] += much
        fold_of[group] = fold
    _keep(fold_of, brings, held)
    result: Places = fold_of[members]
    return result


def _brought(members: Places, count: int, columns: Truth) -> csr_array:
    """How much (G, S + 1) of each column each group brings; the last is its examples."""
    rows, where = np.nonzero(columns)
    last = np.full(len(members), columns.shape[1])
    at = (np.concatenate([members[rows], members]), np.concatenate([where, last]))
    return csr_array((np.ones(len(at[0])), at), shape=(count, columns.shape[1] + 1))


def _keep(fold_of: Places, brings: csr_array, held: Doubles) -> None:
    """Take the smallest groups out of folds that hold all of a column."""
    sums = held.sum(axis=1)
    for column, fold in np.argwhere((held == sums[:, None]) & (sums[:, None] > 0)):
        whole = brings[:, [column]].toarray()[:, 0]
        inside = np.flatnonzero((whole > 0) & (fold_of == fold))
        if len(inside) and inside.size == np.count_nonzero(whole):
            fold_of[inside[whole[inside].argmin()]] = ALWAYS
