"""Which of those who wait run together: pure functions.

Where an encoder packs utterances one behind the other, a batch costs the sum of its frames. Where
it pads them to the longest, a batch costs its longest times its number, and lengths that differ
much waste the difference; then a batch is made of neighbors in length.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from embedsvc.batching.jobs import Job

NEIGHBOR = 0.7
"""Of the longest: the shortest utterance that may be padded to its length."""

MIN_AGE = 0.05
"""Seconds before the oldest is preferred to a better filled batch."""


@dataclass(frozen=True)
class Rule:
    """What one batch may be.

    It has at most `budget` frames, `padded` ones if padding costs, unless one utterance alone
    has more. `knee` is the frames that cost as much as starting a pass. Who waits for longer than
    `age` seconds goes first.
    """

    budget: int
    padded: bool = False
    knee: int = 0
    age: float = MIN_AGE

    def costed(self, lengths: Sequence[int]) -> list[int]:
        """The lengths that a batch of these costs."""
        return [max(lengths)] * len(lengths) if self.padded and lengths else list(lengths)


def form(line: Sequence[Job], others: Iterable[Job], rule: Rule, now: float) -> list[Job]:
    """The next batch, from the `line` whose turn it is, filled up from `others`.

    Both have the oldest first, and are of one body. One batch is of one depth, where its pass ends.
    """
    if not rule.padded:
        return packed(line[0], [*line[1:], *others], rule.budget)
    overdue = now - line[0].arrived > rule.age
    anchor = line[0] if overdue else _densest(line, rule)
    fitting = [job for job in (*line, *others) if job.depth == anchor.depth]
    return neighbors(anchor, fitting, rule)


def packed(anchor: Job, rest: Iterable[Job], budget: int) -> list[Job]:
    """`anchor`, and what else fits, the oldest first."""
    jobs, frames = [anchor], len(anchor)
    for job in rest:
        if frames >= budget:
            break
        if job.depth == anchor.depth and frames + len(job) <= budget:
            jobs.append(job)
            frames += len(job)
    return jobs


def neighbors(anchor: Job, jobs: Iterable[Job], rule: Rule) -> list[Job]:
    """`anchor` and those near it in length, so that most real frames come for what they cost."""
    length = len(anchor)
    near = (job for job in jobs if near_enough(length, len(job)))
    line = sorted(near, key=len, reverse=True)
    start, end = max(
        (run for run in _runs([len(job) for job in line], rule) if len(line[run[0]]) >= length),
        key=_rate(line, rule),
    )
    chosen = line[start:end]
    if anchor not in chosen:
        chosen[-1] = anchor
    return chosen


def near_enough(one: int, other: int) -> bool:
    """Whether the shorter of two lengths may be padded to the longer."""
    return min(one, other) >= NEIGHBOR * max(one, other)


def _densest(line: Sequence[Job], rule: Rule) -> Job:
    """The longest of the batch that gives most real frames for what it costs, of any depth."""
    runs: list[tuple[float, Job]] = []
    for depth in {job.depth for job in line}:
        jobs = sorted((job for job in line if job.depth == depth), key=len, reverse=True)
        rate = _rate(jobs, rule)
        best = max(_runs([len(job) for job in jobs], rule), key=rate)
        runs.append((rate(best), jobs[best[0]]))
    return max(runs, key=lambda run: run[0])[1]


def _runs(lengths: Sequence[int], rule: Rule) -> list[tuple[int, int]]:
    """For each longest, the run of lengths (falling) that may be padded to it: start and end."""
    rising = [-length for length in lengths]
    runs = []
    for start, longest in enumerate(lengths):
        near = bisect_right(rising, -NEIGHBOR * longest)
        runs.append((start, max(start + 1, min(near, start + rule.budget // longest))))
    return runs


def _rate(line: Sequence[Job], rule: Rule) -> Callable[[tuple[int, int]], float]:
    """Real frames of a run of `line` for each frame that it costs."""
    sums = [0, *accumulate(len(job) for job in line)]

    def rate(run: tuple[int, int]) -> float:
        start, end = run
        return (sums[end] - sums[start]) / (rule.knee + (end - start) * len(line[start]))

    return rate
