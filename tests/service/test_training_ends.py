"""Trainings that are cancelled, refused, killed or left, and what goes on all the same."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.longrunning import operations_pb2

from embedsvc.pipeline.probe_training import Order
from embedsvc.probes import Examples
from embedsvc.testing import serving
from embedsvc.v1 import collection_pb2, operation_pb2, probe_pb2
from tests.probes import toys
from tests.service.calls import Stubs, item_refusal, refused, request
from tests.service.probing import ended, put, trained, trainers, training, workfolder
from tests.service.processes import Server

SPACE = toys.space("t")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "data"


@pytest.fixture(scope="module")
def probes(home: Path) -> Iterator[Stubs]:
    """A server for these tests alone."""
    with serving({"data": str(home)}) as target, Stubs(target) as stubs:
        yield stubs


def large(labels: int = 12, each: int = 2_500, dim: int = 256) -> Examples:
    """Examples that take some seconds to learn from."""
    return toys.drawn([toys.space("t", dim)], [f"l{n}" for n in range(labels)], each)


def slowly(name: str, drawn: Examples) -> Iterator[Any]:
    recipe = probe_pb2.ProbeRecipe(strengths=[0.001, 0.01, 0.1, 1.0], folds=5)
    yield from training(name, drawn.spaces, drawn, recipe=recipe)


def test_one_training_of_a_name_at_a_time(probes: Stubs, home: Path) -> None:
    begun = probes.probes.TrainProbeOnVectors(slowly("busy", large()), timeout=60)
    probes.collections.CreateCollection(collection_pb2.CreateCollectionRequest(name="x"))
    asked = probe_pb2.TrainProbeRequest(name="busy", collection="x", label_field="kind")
    refusal = refused(probes.probes.TrainProbe, asked)
    assert (refusal.code, refusal.reason) == ("ABORTED", "OPERATION_RUNNING")
    again = training("busy", [SPACE], toys.drawn([SPACE]))
    assert refused(probes.probes.TrainProbeOnVectors, again).reason == "OPERATION_RUNNING"
    assert len(workfolder(home)) == 1
    # It waits for the other, and is not needed any more.
    waiting = probes.probes.TrainProbeOnVectors(training("next", [SPACE], toys.drawn([SPACE])))
    assert len(workfolder(home)) == 2
    for name in (waiting.name, begun.name):
        cancel = operations_pb2.CancelOperationRequest(name=name)
        probes.operations.CancelOperation(cancel, timeout=10)
        over = ended(probes, name)
        assert over.error.code == grpc.StatusCode.CANCELLED.value[0]
    assert workfolder(home) == []


def test_a_training_is_cancelled_at_once_and_others_are_served_meanwhile(probes: Stubs) -> None:
    begun = probes.probes.TrainProbeOnVectors(slowly("long", large()), timeout=60)
    asked = operations_pb2.GetOperationRequest(name=begun.name)
    metadata = operation_pb2.OperationMetadata()
    until = time.monotonic() + 30
    while not metadata.total_steps and time.monotonic() < until:
        metadata = operation_pb2.OperationMetadata()
        probes.operations.GetOperation(asked, timeout=10).metadata.Unpack(metadata)
    assert metadata.total_steps > 0
    assert metadata.step
    assert trainers(os.getpid())
    probes.embedding.Embed(request(), timeout=10)
    started = time.monotonic()
    cancel = operations_pb2.CancelOperationRequest(name=begun.name)
    probes.operations.CancelOperation(cancel, timeout=10)
    over = ended(probes, begun.name)
    assert time.monotonic() - started < 2
    assert over.error.code == grpc.StatusCode.CANCELLED.value[0]
    assert not trainers(os.getpid())


def test_a_training_that_the_system_ends_says_why_and_is_logged(
    probes: Stubs, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun = probes.probes.TrainProbeOnVectors(slowly("vast", large()), timeout=60)
    until = time.monotonic() + 30
    while not (workers := trainers(os.getpid())) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(workers[0], signal.SIGKILL)
    over = ended(probes, begun.name)
    refusal = item_refusal(over.error)
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED")
    assert "memory ran out" in refusal.message
    (bug,) = (record for record in caplog.records if record.message == "bug")
    assert vars(bug)["fields"]["method"] == "probes/vast"
    assert bug.exc_info is not None
    assert "code -9" in str(bug.exc_info[1])
    assert workfolder(home) == []


def test_a_bug_in_the_process_that_trains_is_logged_and_not_told(
    probes: Stubs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An order that no version writes, read by a real process.
    monkeypatch.setattr(Order, "facts", lambda self, folder: _facts(self, folder) | {"recipe": {}})
    drawn = training("broken", [SPACE], toys.drawn([SPACE]))
    over = ended(probes, probes.probes.TrainProbeOnVectors(drawn, timeout=60).name)
    assert (item_refusal(over.error).code, over.error.message) == ("INTERNAL", "internal error")
    (bug,) = (record for record in caplog.records if record.message == "bug")
    assert bug.exc_info is not None
    assert "KeyError" in str(bug.exc_info[1])


_facts = Order.facts


def test_a_caller_who_leaves_in_the_middle_leaves_nothing(probes: Stubs, home: Path) -> None:
    over = threading.Event()

    def messages() -> Iterator[Any]:
        yield from training("left", [SPACE], toys.drawn([SPACE]))
        over.wait(60)

    call = probes.probes.TrainProbeOnVectors.future(messages())
    until = time.monotonic() + 30
    while not workfolder(home) and time.monotonic() < until:
        time.sleep(0.02)
    assert workfolder(home)
    call.cancel()
    until = time.monotonic() + 30
    while workfolder(home) and time.monotonic() < until:
        time.sleep(0.05)
    assert workfolder(home) == []
    over.set()


def test_a_training_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    home = tmp_path / "data"
    drawn = large(each=40)
    with Server(home) as server, Stubs(server.address()) as stubs:
        begun = stubs.probes.TrainProbeOnVectors(slowly("kept", drawn), timeout=60)
        until = time.monotonic() + 30
        while not (workers := trainers(server.process.pid)) and time.monotonic() < until:
            time.sleep(0.05)
        server.signal(signal.SIGKILL)
        server.end()
    (folder,) = workfolder(home)
    (home / "probes" / ".work" / "orphan").mkdir()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{each}").exists() for each in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{each}").exists() for each in workers)
    with Server(home) as server, Stubs(server.address()) as stubs:
        assert workfolder(home) == [folder]
        probe = trained(stubs, begun)
        assert (probe.name, probe.version, len(probe.labels)) == ("kept", 1, 12)
        assert workfolder(home) == []
        server.signal(signal.SIGTERM)
        code, text = server.end()
        assert code == 0, text


@pytest.mark.parametrize("is_deleted", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_probe_is_kept_once_if_the_server_is_killed_before_it_says_so(
    tmp_path: Path, *, is_deleted: bool
) -> None:
    home = tmp_path / "data"
    with Server(home) as server, Stubs(server.address()) as stubs:
        begun = stubs.probes.TrainProbeOnVectors(slowly("once", large(each=100)), timeout=60)
        until = time.monotonic() + 30
        while not trainers(server.process.pid) and time.monotonic() < until:
            time.sleep(0.02)
        # Whoever writes into a pipe waits for a reader: so its end is never kept.
        end = home / f"{begun.name}.json.tmp"
        os.mkfifo(end)
        while not (home / "probes" / "once" / "1").exists() and time.monotonic() < until:
            time.sleep(0.02)
        if is_deleted:
            assert put(stubs, "once", toys.probe()).version == 2
            stubs.probes.DeleteProbe(probe_pb2.DeleteProbeRequest(name="once@1"), timeout=10)
        server.signal(signal.SIGKILL)
        server.end()
    assert len(workfolder(home)) == 1
    end.unlink()
    with Server(home) as server, Stubs(server.address()) as stubs:
        over = ended(stubs, begun.name)
        response = probe_pb2.TrainProbeResponse()
        assert over.response.Unpack(response)
        asked = probe_pb2.GetProbeRequest(name="once")
        served = stubs.probes.GetProbe(asked, timeout=10).probe
        if is_deleted:
            assert not response.HasField("probe")
            assert (served.version, list(served.labels)) == (2, ["cat", "dog"])
        else:
            assert response.probe == served
            assert (served.version, len(served.labels)) == (1, 12)
        assert workfolder(home) == []


@pytest.mark.slow
def test_a_server_that_is_stopped_in_order_goes_on_with_a_training(tmp_path: Path) -> None:
    home = tmp_path / "data"
    with Server(home) as server, Stubs(server.address()) as stubs:
        begun = stubs.probes.TrainProbeOnVectors(slowly("kept", large(each=300)), timeout=60)
        time.sleep(1)
        server.signal(signal.SIGTERM)
        code, text = server.end()
        assert code == 0, text
    assert len(workfolder(home)) == 1
    with Server(home) as server, Stubs(server.address()) as stubs:
        assert trained(stubs, begun).version == 1
