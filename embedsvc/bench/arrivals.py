"""When callers come who know nothing of each other, and with what."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Arrival:
    """A caller who comes `at` so many seconds after the start, with one of the utterances."""

    at: float
    utterance: int


def poisson(rate: float, seconds: float, utterances: int, seed: int) -> list[Arrival]:
    """Arrivals of `rate` a second on average for `seconds`, at least one, in order.

    The gaps between them are exponential; every utterance is as likely as the next.
    """
    generator = np.random.default_rng(seed)
    found: list[Arrival] = []
    at = 0.0
    while True:
        at += float(generator.exponential(1 / rate))
        if found and at >= seconds:
            return found
        found.append(Arrival(min(at, seconds), int(generator.integers(utterances))))
