"""Whatever goes wrong for one caller, all others get what they get in quiet times."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc_health.v1 import health_pb2

from embedsvc.encoder import Encoder
from embedsvc.testing import serving
from embedsvc.timing import frame_count
from embedsvc.types import Floats
from embedsvc.v1 import embedding_pb2, server_pb2, types_pb2
from tests.service.calls import (
    BOUND,
    Stubs,
    file_of,
    item_refusal,
    options,
    pcm,
    pcm_format,
    refused,
    request,
    s16,
    speech,
    upload,
    vector,
)

Traffic = Sequence[tuple[embedding_pb2.EmbedRequest, Floats]]
"""Requests, and the vectors that they get in quiet times."""

SECONDS = (0.3, 1.1, 0.5, 2.0, 0.7, 0.9, 1.7, 0.4)
POISON = 0.777
PLUG = 0.123
"""Seconds of the utterances that the encoder stumbles over, and that waits at the gate."""

HEALTH = health_pb2.HealthCheckRequest(service="embedsvc.v1.EmbeddingService")
FLAGS = {
    "batcher": {"stall_seconds": 0.5, "max_batch_frames": 2_000},
    "model": {"passes": 1},  # so that one utterance at the gate holds up all others
}


class Chaos:
    """Stands before the encoder: lets it wait, or fail."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.fails: Callable[[list[int]], bool] = lambda lengths: False
        self.batches: list[list[int]] = []

    def __call__(self, lengths: list[int]) -> None:
        """What happens to a batch of utterances of these lengths."""
        self.batches.append(lengths)
        if lengths[0] == frames_of(PLUG):
            self.began.set()
            assert self.gate.wait(60)
        if self.fails(lengths):
            raise ArithmeticError("secret")


def frames_of(seconds: float) -> int:
    return frame_count(round(seconds * 16_000))


@pytest.fixture(scope="module")
def calm() -> Iterator[Stubs]:
    """The services of a server of its own."""
    with serving(FLAGS) as target, Stubs(target) as stubs:
        yield stubs


@pytest.fixture(scope="module")
def traffic(calm: Stubs) -> Traffic:
    requests = [request(pcm(speech(seconds, 7))) for seconds in SECONDS]
    return [(each, vector(calm.embedding.Embed(each).embedding)) for each in requests]


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chaos]:
    made, check = Chaos(), Encoder._check

    def checked(self: Encoder, utterances: Sequence[Any], asks: Any) -> None:
        made([len(each) for each in utterances])
        check(self, utterances, asks)

    monkeypatch.setattr(Encoder, "_check", checked)
    yield made
    made.gate.set()


def plug(stubs: Stubs, chaos: Chaos) -> Any:
    """A call that keeps the encoder busy until the gate is opened."""
    chaos.gate.clear()
    call = stubs.embedding.Embed.future(request(pcm(speech(PLUG))))
    assert chaos.began.wait(30)
    return call


def begin(stubs: Stubs, traffic: Traffic) -> list[Any]:
    return [stubs.embedding.Embed.future(each, timeout=60) for each, _ in traffic]


def unharmed(calls: Sequence[Any], traffic: Traffic) -> None:
    for call, (_, expected) in zip(calls, traffic, strict=True):
        np.testing.assert_allclose(vector(call.result().embedding), expected, atol=BOUND)


def waits(stubs: Stubs) -> dict[int, int]:
    """The frames that wait in each lane."""
    lanes = stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).queue.lanes
    return {lane.lane: lane.waiting_frames for lane in lanes}


def waiting(stubs: Stubs) -> int:
    return sum(waits(stubs).values())


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_server_tells_what_waits_in_each_lane(calm: Stubs, chaos: Chaos) -> None:
    plugged = plug(calm, chaos)
    calls = [
        calm.embedding.Embed.future(request(pcm(speech(seconds, 41)), lane=lane), timeout=60)
        for lane in (types_pb2.LANE_INTERACTIVE, types_pb2.LANE_NORMAL, types_pb2.LANE_BULK)
        for seconds in (0.5, 0.25 * lane)
    ]
    frames = {lane: frames_of(0.5) + frames_of(0.25 * lane) for lane in (1, 3)}
    frames[2] = 0  # one pass for both of them, and for the one in the urgent lane
    frames[3] -= frames_of(0.5)
    until(lambda: waits(calm) == frames)

    def told() -> server_pb2.QueueStats:
        return calm.server.GetServerInfo(server_pb2.GetServerInfoRequest()).queue

    # What was let in counts at once; it has an age when it is decoded and in the queue.
    until(lambda: all(lane.oldest.ToNanoseconds() for lane in told().lanes if lane.waiting_frames))
    info = told()
    for lane in info.lanes:
        assert (lane.predicted.ToNanoseconds() > 0) == (lane.waiting_frames > 0)
        assert lane.waiting_frames or not lane.oldest.ToNanoseconds()
    assert info.shared >= 3
    chaos.gate.set()
    for call in (plugged, *calls):
        assert call.result().embedding.outputs
    info = calm.server.GetServerInfo(server_pb2.GetServerInfoRequest()).queue
    assert (info.padding_ratio, info.batch_frames) == (0, 2_000)
    assert info.frames > info.batches > 0
    assert info.cost_error_ratio >= 0


def test_poison_among_good_traffic(calm: Stubs, chaos: Chaos, traffic: Traffic) -> None:
    chaos.fails = lambda lengths: frames_of(POISON) in lengths
    poisons = [request(pcm(speech(POISON, seed))) for seed in range(3)]
    plugged = plug(calm, chaos)
    calls = begin(calm, traffic)
    bad = [calm.embedding.Embed.future(each, timeout=60) for each in poisons]
    until(lambda: waiting(calm) == sum(map(frames_of, SECONDS)) + 3 * frames_of(POISON))
    chaos.gate.set()
    unharmed(calls, traffic)
    assert plugged.result().embedding.outputs
    for call in bad:
        refusal = refused(call.result)
        assert (refusal.code, refusal.message) == ("INTERNAL", "internal error")
    ran = len(chaos.batches)
    for each in poisons:
        refusal = refused(calm.embedding.Embed, each)
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "AUDIO_QUARANTINED")
        assert 0 < int(refusal.facts["quarantine_seconds"]) <= 600
    assert len(chaos.batches) == ran
    unharmed(begin(calm, traffic), traffic)


def test_a_poison_in_a_batch_has_its_own_status(calm: Stubs, chaos: Chaos) -> None:
    chaos.fails = lambda lengths: frames_of(POISON) in lengths
    audios = [pcm(speech(0.5, 21)), pcm(speech(POISON, 22)), pcm(speech(0.6, 23))]
    batch = embedding_pb2.BatchEmbedRequest(audios=audios)
    for reason in ("INTERNAL", "AUDIO_QUARANTINED"):
        items = calm.embedding.BatchEmbed(batch, timeout=60).items
        assert [item.HasField("embedding") for item in items] == [True, False, True]
        assert item_refusal(items[1].error).reason == reason


def test_the_same_poison_twice_in_a_batch_is_named_at_each_place(calm: Stubs, chaos: Chaos) -> None:
    chaos.fails = lambda lengths: frames_of(POISON) in lengths
    poison = pcm(speech(POISON, 22))
    batch = embedding_pb2.BatchEmbedRequest(audios=[poison, pcm(speech(0.5, 21)), poison])
    calm.embedding.BatchEmbed(batch, timeout=60)  # from now on in quarantine
    items = calm.embedding.BatchEmbed(batch, timeout=60).items
    refusals = [item_refusal(items[place].error) for place in (0, 2)]
    assert [refusal.reason for refusal in refusals] == ["AUDIO_QUARANTINED"] * 2
    assert [refusal.path for refusal in refusals] == ["audios[0]", "audios[2]"]


def test_an_exception_inside_a_batch(calm: Stubs, chaos: Chaos, traffic: Traffic) -> None:
    """A batch that fails as a whole, though none of its utterances does alone."""
    chaos.fails = lambda lengths: len(lengths) > 1
    plugged = plug(calm, chaos)
    calls = begin(calm, traffic)
    until(lambda: waiting(calm) == sum(map(frames_of, SECONDS)))
    chaos.gate.set()
    unharmed(calls, traffic)
    assert plugged.result().embedding.outputs
    assert max(map(len, chaos.batches)) > 1


def test_callers_that_leave(calm: Stubs, chaos: Chaos, traffic: Traffic) -> None:
    plugged = plug(calm, chaos)
    calls = begin(calm, traffic)
    leaving = [
        calm.embedding.Embed.future(request(pcm(speech(3 + seed / 10, seed)))) for seed in range(12)
    ]
    until(lambda: waiting(calm) > sum(map(frames_of, SECONDS)) + 12 * 150)
    for call in leaving:
        call.cancel()
    until(lambda: waiting(calm) == sum(map(frames_of, SECONDS)))
    chaos.gate.set()
    unharmed(calls, traffic)
    assert plugged.result().embedding.outputs
    ran = {length for batch in chaos.batches for length in batch}
    assert not ran & {frames_of(3 + seed / 10) for seed in range(12)}


def decoders() -> list[int]:
    """Processes of this one that decode files."""
    found = []
    for place in Path("/proc/self/task").iterdir():
        for child in (place / "children").read_text(encoding="ascii").split():
            line = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"sandbox_worker" in line:
                found.append(int(child))
    return found


def test_decoders_that_are_killed(calm: Stubs, traffic: Traffic) -> None:
    sounds = [types_pb2.Audio(encoded=file_of(speech(seconds, 7))) for seconds in SECONDS]
    files = [
        (request(each), vector(calm.embedding.Embed(request(each)).embedding)) for each in sounds
    ]
    harmed = 0
    for _ in range(4):
        calls = begin(calm, traffic)
        coming = begin(calm, files)
        for process in decoders():
            os.kill(process, signal.SIGKILL)
        unharmed(calls, traffic)
        for call, (_, expected) in zip(coming, files, strict=True):
            if call.exception() is None:
                np.testing.assert_allclose(vector(call.result().embedding), expected, atol=BOUND)
            else:
                # Its file was in the process that was killed, or the process was about to start.
                assert refused(call.result).reason in {"AUDIO_UNDECODABLE", "INTERNAL"}
                harmed += 1
    assert harmed <= 4 * 2  # as many as there are decoders, each time
    unharmed(begin(calm, files), files)


def test_readers_that_do_not_read(calm: Stubs, chaos: Chaos, traffic: Traffic) -> None:
    frames = embedding_pb2.OutputSpec(pooling=types_pb2.POOLING_NONE, dtype=types_pb2.DTYPE_FLOAT32)
    windowing = types_pb2.Windowing()
    windowing.length.seconds, windowing.context.seconds = 20, 1
    kind = embedding_pb2.StreamEmbedRequest
    config = kind.Config(pcm=pcm_format(), options=options(frames, windowing=windowing))
    config.options.lane = types_pb2.LANE_BULK
    talk = s16(np.tile(speech(20, 31), 30))
    with Stubs(calm.target) as slow:
        streams = [
            slow.embedding.StreamEmbed(upload(kind, config, talk, 640_000), timeout=60)
            for _ in range(3)
        ]
        assert [next(each).embedding.outputs[0].tensor.shape[0] > 0 for each in streams]
        unharmed(begin(calm, traffic), traffic)
        until(lambda: rests(chaos))
        # Nobody read them, so most of the windows were never made.
        assert sum(max(batch) > 900 for batch in chaos.batches) < 3 * 30
        unharmed(begin(calm, traffic), traffic)
        for each in streams:
            each.cancel()
    until(lambda: waiting(calm) == 0)


def rests(chaos: Chaos) -> bool:
    """Whether the encoder has nothing to do for a while."""
    before = len(chaos.batches)
    time.sleep(0.3)
    return len(chaos.batches) == before


def test_an_encoder_that_hangs_is_not_healthy_until_it_goes_on(
    calm: Stubs, chaos: Chaos, traffic: Traffic
) -> None:
    watch = calm.health.Watch(HEALTH, timeout=60)
    until(lambda: next(watch).status == health_pb2.HealthCheckResponse.SERVING)
    plugged = plug(calm, chaos)
    calls = begin(calm, traffic)
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    chaos.gate.set()
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    assert plugged.result().embedding.outputs
    unharmed(calls, traffic)
    watch.cancel()


def test_an_encoder_that_fails_on_everything_is_not_healthy_until_it_is_well(
    calm: Stubs, chaos: Chaos, traffic: Traffic
) -> None:
    watch = calm.health.Watch(HEALTH, timeout=60)
    until(lambda: next(watch).status == health_pb2.HealthCheckResponse.SERVING)
    chaos.fails = lambda lengths: True
    assert {refused(call.result).code for call in begin(calm, traffic)} == {"INTERNAL"}
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    chaos.fails = lambda lengths: False
    # The canary finds it well; nobody has to be the first to try.
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    unharmed(begin(calm, traffic), traffic)
    watch.cancel()
