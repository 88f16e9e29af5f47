"""What many calls amount to: throughput, latencies, and how refusals were told."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from embedsvc.bench.figures import percentiles
from embedsvc.bench.load import OK, Call

REFUSED = ("RESOURCE_EXHAUSTED", "UNAVAILABLE")
"""Statuses by which a server says that it has too much to do."""


@dataclass(frozen=True)
class Totals:
    """Audio seconds a second that were offered and answered, and seconds that calls took.

    `goodput` counts what was answered, up to the last answer. `latency` is of what was answered,
    from when the caller came; `refusal` is of what was refused, from when it was sent;
    `lateness` is how long after its time a call was sent, which is this program's own fault.
    """

    calls: int
    codes: Mapping[str, int]
    offered: float
    goodput: float
    latency: Mapping[str, float]
    refusal: Mapping[str, float]
    lateness: Mapping[str, float]
    told_when: float | None

    @classmethod
    def of(cls, calls: Sequence[Call], seconds: float) -> "Totals":
        """Those of at least one call, whose callers came in the course of `seconds`.

        `told_when` is the share of refusals that said when to come again; None without any.
        """
        answered = [call for call in calls if call.code == OK]
        refused = [call for call in calls if call.code in REFUSED]
        last = max((call.done for call in answered), default=seconds)
        told = [call.retry_after is not None for call in refused]
        return cls(
            calls=len(calls),
            codes=dict(Counter(call.code for call in calls)),
            offered=_audio(calls) / seconds,
            goodput=_audio(answered) / max(last, seconds),
            latency=percentiles([call.latency for call in answered]),
            refusal=_slowest([call.answer_time for call in refused]),
            lateness=percentiles([call.sent - call.due for call in calls]),
            told_when=sum(told) / len(told) if told else None,
        )


def _audio(calls: Sequence[Call]) -> float:
    return sum(call.audio for call in calls)


def _slowest(times: Sequence[float]) -> dict[str, float]:
    """Percentiles, and the very slowest: no refusal may be slow."""
    return {**percentiles(times), "max": max(times)} if times else {}
