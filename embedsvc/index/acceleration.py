"""When a base needs an accelerator, and how it gets one that finds what it should."""

from collections.abc import Callable, Sequence

from embedsvc.index import accelerator, autotune
from embedsvc.index.accelerator import Accelerator
from embedsvc.index.autotune import FEWEST
from embedsvc.index.base import RECIPE, Base
from embedsvc.index.outcomes import Tuning
from embedsvc.index.proposals import Tuned, placed
from embedsvc.types import Floats, IndexInfo

RETRAINED = 4
"""How many times more segments than at first make the graph begin anew, on another sample."""

RECENT = 200
"""Queries kept in memory, and only there, to tune the accelerator on."""

FRESH = 4
"""One part in so many of a full tail outside the graph makes it worth to add them: all that is
not in it is scored by every search."""

RETRIED = 2
"""How many times more segments make it worth to try again what failed."""


def due(base: Base, tuning: Tuning, asked: int) -> bool:
    """Whether `base` should get an accelerator, or a newer one.

    `asked` is how many recent queries are known: the first ones need another look, because they
    may lie elsewhere than what is stored.
    """
    if len(base) < tuning.accelerate_from:
        return False
    if base.tuned is None:
        return True
    if base.tuned.accelerator is None:
        return len(base) >= RETRIED * base.tuned.info.segments
    if base.tuned.asked < FEWEST and asked >= RECENT:
        return True
    return FRESH * _fresh(base) > tuning.tail_limit or _stale(base, tuning)


def tuned(base: Base, recent: Sequence[Floats], tuning: Tuning, check: Callable[[], None]) -> Tuned:
    """An accelerator over all of `base`, with the least effort that reaches the target.

    The one it has is added to, unless too many of its segments are gone. `recent` are queries
    (D,); `check` is called often, and may raise to end the work.
    """
    held, trained = _accelerator(base, tuning, check)
    on = placed(held, 0, base.sids, base.codes)
    point = autotune.tune(base.codes, recent, on.known, tuning.recall_target, check)
    info = IndexInfo(
        recipe=accelerator.RECIPE,
        recall=point.recall,
        target=tuning.recall_target,
        measured_on=point.measured_on,
        segments=len(base),
    )
    if point.effort is not None:
        return Tuned(held, point.effort, trained, len(recent), info)
    reason = (
        f"{accelerator.RECIPE} found {point.recall:.1%} of the nearest at most, and "
        f"{tuning.recall_target:.1%} are wanted with 95 % confidence"
    )
    exact = IndexInfo(RECIPE, 1.0, info.target, info.measured_on, info.segments, reason)
    return Tuned(None, 0, trained, len(recent), exact)


def _accelerator(base: Base, tuning: Tuning, check: Callable[[], None]) -> tuple[Accelerator, int]:
    known = base.tuned
    if known is None or known.accelerator is None or _stale(base, tuning):
        return accelerator.build(base.codes, base.blocks, check), len(base)
    return known.accelerator.grown(base.blocks, check), known.trained


def _fresh(base: Base) -> int:
    """Segments that the accelerator does not know."""
    return len(base) - base.proposals.first if base.proposals else len(base)


def _stale(base: Base, tuning: Tuning) -> bool:
    """Whether too many of the accelerator's segments are gone, or too few were there at first."""
    if base.tuned is None or base.proposals is None:
        return True
    most = max(tuning.dead_floor, tuning.dead_share * len(base.proposals.accelerator))
    return base.proposals.gone > most or len(base) > RETRAINED * base.tuned.trained
