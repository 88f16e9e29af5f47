"""Answers in the order of time, joined into spans that do not flicker."""

from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from embedsvc.types import Classification, Evidence, LabelScore, Span, UnknownReason

Key = tuple[bool, tuple[str, ...]]
"""What makes two answers the same: whether it is unknown, and the labels."""


def key_of(said: Classification) -> Key:
    """What an answer comes down to."""
    return said.unknown is not None, tuple(sorted(said.labels))


class Mean:
    """The mean of answers; memory does not grow with their number."""

    def __init__(self) -> None:
        self.count = 0
        self._scores: defaultdict[str, float] = defaultdict(float)
        self._evidence = [0.0] * 4
        self._value = 0.0
        self._interval = [0.0, 0.0]
        self._sets: Counter[str] = Counter()
        self._labels: Counter[tuple[str, ...]] = Counter()
        self._reasons: Counter[UnknownReason] = Counter()
        self._is_number = False

    def add(self, said: Classification) -> None:
        """One more."""
        self.count += 1
        for each in said.scores:
            self._scores[each.label] += each.probability
        evidence = said.evidence
        parts = (evidence.logit, evidence.energy, evidence.distance, evidence.belonging)
        self._evidence = [total + part for total, part in zip(self._evidence, parts, strict=True)]
        if said.value is not None:
            self._is_number = True
            self._value += said.value
        if said.interval is not None:
            self._interval = [a + b for a, b in zip(self._interval, said.interval, strict=True)]
        self._sets.update(said.prediction_set)
        if said.unknown is None:
            self._labels[said.labels] += 1
        else:
            self._reasons[said.unknown] += 1

    def whole(self) -> Classification:
        """Mean scores; the answer that was given most, unknown when most were.

        The prediction set has what is in at least half of them.
        """
        n = self.count
        scores = sorted(
            (LabelScore(label, total / n) for label, total in self._scores.items()),
            key=lambda each: -each.probability,
        )
        known = sum(self._labels.values())
        unknown = None if 2 * known >= n else self._reasons.most_common(1)[0][0]
        return Classification(
            labels=self._labels.most_common(1)[0][0] if unknown is None and known else (),
            scores=tuple(scores),
            prediction_set=tuple(label for label, times in self._sets.items() if 2 * times >= n),
            evidence=Evidence(*(part / n for part in self._evidence)),
            unknown=unknown,
            value=self._value / n if self._is_number else None,
            interval=(self._interval[0] / n, self._interval[1] / n) if self._is_number else None,
        )


@dataclass
class _Stretch:
    """Answers in a row that are the same; `start` is where the first begins to count."""

    key: Key
    start: int
    mean: Mean


class Spans:
    """Neighbors with the same answer are one span; another counts when `agree` in a row give it.

    Fewer are taken as a slip, and belong to the span around them. Numbers are not joined.
    """

    def __init__(self, agree: int) -> None:
        self._agree = agree
        self._done: list[tuple[Span, Classification]] = []
        self._now: _Stretch | None = None
        self._next: _Stretch | None = None

    @property
    def held(self) -> tuple[str, ...]:
        """The labels of what goes on at the moment; none when it is unknown."""
        return self._now.key[1] if self._now is not None else ()

    def push(self, start: int, said: Classification) -> None:
        """An answer that counts from sample `start` on, until the next."""
        key = key_of(said)
        if said.value is not None:
            self._switch(_Stretch(key, start, Mean()))
        elif self._now is None:
            self._now = _Stretch(key, start, Mean())
        if self._now is not None and (said.value is not None or key == self._now.key):
            self._now.mean.add(said)
            self._next = None
            return
        if self._next is None or self._next.key != key:
            self._next = _Stretch(key, start, Mean())
        self._next.mean.add(said)
        if self._next.mean.count >= self._agree:
            self._switch(self._next)

    def finish(self, end: int) -> list[tuple[Span, Classification]]:
        """All spans up to sample `end`, without gaps."""
        self._close(end)
        self._now = None
        return self._done

    def _switch(self, stretch: _Stretch) -> None:
        self._close(stretch.start)
        self._now, self._next = stretch, None

    def _close(self, end: int) -> None:
        if self._now is not None and end > self._now.start:
            said = replace(self._now.mean.whole(), labels=self._now.key[1])
            self._done.append((Span(self._now.start, end), said))
