"""Whose turn it is: the encoder's seconds are shared among the lanes by their weights.

Stride scheduling (Waldspurger and Weihl, 1995): the lane that had least for its weight is next.
Every lane with something in it gets its share, so none starves, and a lane alone gets all.
"""

from collections.abc import Collection, Mapping

from embedsvc.types import Lane

WEIGHTS: Mapping[Lane, int] = {Lane.INTERACTIVE: 8, Lane.NORMAL: 4, Lane.BULK: 1}


class Turns:
    """How much each lane had, in seconds over its weight."""

    def __init__(self) -> None:
        self._had = dict.fromkeys(WEIGHTS, 0.0)
        self._now = 0.0

    def wake(self, lane: Lane) -> None:
        """Something comes into an empty lane; what it left to others before is not owed to it."""
        self._had[lane] = max(self._had[lane], self._now)

    def next(self, waiting: Collection[Lane]) -> Lane:
        """The lane, of those with something in them, that is to be served; the urgent one if equal.

        It is to be charged for what it then gets.
        """
        lane = min((lane for lane in WEIGHTS if lane in waiting), key=self._had.__getitem__)
        self._now = self._had[lane]
        return lane

    def charge(self, lane: Lane, seconds: float) -> None:
        """`lane` gets `seconds` of the encoder."""
        self._had[lane] += seconds / WEIGHTS[lane]


def ahead(backlog: Mapping[Lane, float], lane: Lane, own: float) -> float:
    """Seconds until `own` seconds that join `lane` now are done, if nothing more comes.

    Before its lane is through, another has had no more than its weight allows beside it.
    """
    mine = backlog[lane] + own
    return sum(
        mine if other is lane else min(seconds, mine * WEIGHTS[other] / WEIGHTS[lane])
        for other, seconds in backlog.items()
    )
