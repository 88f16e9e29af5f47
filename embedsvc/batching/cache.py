"""Answers of the encoder that were given before, by content: the latest used, in bounded memory."""

from collections import OrderedDict

from embedsvc.batching.jobs import Key
from embedsvc.types import Encoded


class Cache:
    """At most `capacity` bytes of answers; with none, it keeps nothing."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._answers: OrderedDict[Key, Encoded] = OrderedDict()
        self.bytes = 0
        self.hits = 0
        self.misses = 0

    def get(self, key: Key) -> Encoded | None:
        """The answer, if it is kept."""
        answer = self._answers.get(key)
        if answer is not None:
            self._answers.move_to_end(key)
            self.hits += 1
        elif self._capacity:
            self.misses += 1
        return answer

    def put(self, key: Key, answer: Encoded) -> None:
        """Keep an answer, in place of those that were not used for longest."""
        size = size_of(answer)
        if size > self._capacity or key in self._answers:
            return
        self._answers[key] = answer
        self.bytes += size
        while self.bytes > self._capacity:
            _, gone = self._answers.popitem(last=False)
            self.bytes -= size_of(gone)


def size_of(answer: Encoded) -> int:
    """Bytes of the arrays of an answer."""
    frames = sum(array.nbytes for array in answer.frames.values())
    return frames + sum(
        run.mean.nbytes + run.squares.nbytes + run.peak.nbytes
        for runs in answer.moments.values()
        for run in runs
    )
