"""Live streams in real time: what is noted of them, and how many are found to fit."""

import asyncio

import pytest

from embedsvc.bench import speech, streams
from embedsvc.bench.streams import Load, Way
from embedsvc.testing import serving
from embedsvc.types import StreamMode


def load(streams: int, lag: float, failed: int = 0) -> Load:
    times = {"p50": lag, "p95": lag}
    return Load("made", streams, failed, times, times, times, 0.0, 0.1, None)


@pytest.mark.parametrize("fitting", [0, 1, 3, 8, 13, 40])
def test_as_many_as_fit_are_found(fitting: int) -> None:
    best, tried = streams.most(lambda count: load(count, 0.1 if count <= fitting else 9), 1.0, 32)
    exact = min(fitting, 32)
    assert exact - exact // 8 <= best <= exact
    assert len(tried) <= 10


def test_a_stream_that_fails_does_not_fit() -> None:
    best, _ = streams.most(lambda count: load(count, 0.1, failed=count > 2), 1.0, 8)
    assert best == 2


@pytest.mark.parametrize(
    "way", [Way(StreamMode.RECOMPUTE, 0.5), Way(StreamMode.LOOKAHEAD, 0.5, 0.3)]
)
def test_streams_are_timed_as_they_are_told(way: Way) -> None:
    waves = speech.of_lengths([4.0, 5.0])
    with serving() as target:
        played = asyncio.run(streams.play(target, way, waves, pace=2.0))
        assert 0 < asyncio.run(streams.offline(target, waves[0])) < 5
    found = streams.load(way, played, 0.5)
    assert (found.streams, found.failed, found.way) == (2, 0, way.name)
    assert 0 < found.lag["p50"] <= found.lag["p95"]
    assert found.delay["p50"] > (way.lookahead or way.interval)
    assert found.first["p50"] > 0
    assert found.rtf > 0
    assert (found.changed == 0) == (way.mode is StreamMode.LOOKAHEAD) or found.changed < 1
