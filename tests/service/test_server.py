"""The server as a process: its health, its start and its end."""

import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from embedsvc.testing import serving
from embedsvc.types import Floats
from embedsvc.v1 import collection_pb2, embedding_pb2, server_pb2
from tests.service.calls import Stubs, code_of, pcm_format, refused, request, s16, speech, vector
from tests.service.processes import Server, SlowModel

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

OFFERED = [
    "EmbeddingService",
    "CollectionService",
    "SearchService",
    "ProbeService",
    "ServerService",
    "TranscriptionService",
]


EAGER = {
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.min_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 100,
}
"""Options of a channel to a server that is about to listen."""


def named(service: str) -> Any:
    return health_pb2.HealthCheckRequest(service=service)


@pytest.mark.parametrize("service", ["", *(f"embedsvc.v1.{name}" for name in OFFERED)])
def test_what_is_offered_is_healthy(stubs: Stubs, service: str) -> None:
    assert stubs.health.Check(named(service)).status == SERVING


def test_a_service_that_nobody_knows_is_not_found(stubs: Stubs) -> None:
    assert refused(stubs.health.Check, named("embedsvc.v1.Nothing")).code == "NOT_FOUND"
    watch = stubs.health.Watch(named("embedsvc.v1.Nothing"))
    assert next(watch).status == UNKNOWN
    watch.cancel()


class Watcher:
    """Keeps what a watch of a service's health says."""

    def __init__(self, stubs: Stubs, service: str) -> None:
        self._seen: queue.Queue[int] = queue.Queue()
        self._call = stubs.health.Watch(named(service), wait_for_ready=True, timeout=60)
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def wait(self, status: int) -> None:
        """Return when the health is `status`."""
        while self._seen.get(timeout=30) != status:
            pass

    def end(self) -> None:
        """Return when the watch is over."""
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _watch(self) -> None:
        with suppress(grpc.RpcError):
            for answer in self._call:
                self._seen.put(answer.status)


class Upload:
    """An upload that waits for its second half."""

    def __init__(self, stubs: Stubs) -> None:
        self._begun, self._go_on = threading.Event(), threading.Event()
        self.call = stubs.embedding.EmbedUpload.future(self._messages(), timeout=60)
        assert self._begun.wait(10)

    def finish(self) -> embedding_pb2.Embedding:
        """Send the rest; the answer."""
        self.release()
        return self.call.result().embedding

    def release(self) -> None:
        """Let the sender go."""
        self._go_on.set()

    def _messages(self) -> Iterator[embedding_pb2.EmbedUploadRequest]:
        config = embedding_pb2.EmbedUploadRequest.Config(pcm=pcm_format())
        yield embedding_pb2.EmbedUploadRequest(config=config)
        yield embedding_pb2.EmbedUploadRequest(audio=s16(speech(2)))
        self._begun.set()
        self._go_on.wait(60)
        yield embedding_pb2.EmbedUploadRequest(audio=s16(speech(2)))


def test_the_life_of_a_server(tmp_path: Path) -> None:
    """It says when it is ready; told to stop, it finishes what it began and nothing else."""
    address, model = f"unix:{tmp_path}/socket", SlowModel(tmp_path / "model")
    server = Server(tmp_path / "data", address, MODEL__NAME=str(model.folder))
    with server, Stubs(address, **EAGER) as stubs:
        watcher = Watcher(stubs, "embedsvc.v1.EmbeddingService")
        watcher.wait(NOT_SERVING)
        early = refused(stubs.embedding.Embed, request())
        assert (early.code, early.reason) == ("UNAVAILABLE", "UNAVAILABLE")
        assert early.retry_seconds == 1
        assert early.trailers["grpc-retry-pushback-ms"] == "1000"
        assert stubs.health.Check(named("")).status == SERVING
        model.release()
        watcher.wait(SERVING)
        assert server.address() == address
        upload = Upload(stubs)
        server.signal(signal.SIGTERM)
        watcher.wait(NOT_SERVING)
        watcher.end()
        with Stubs(address) as late:
            assert refused(late.embedding.Embed, request()).code == "UNAVAILABLE"
        assert upload.finish().usage.audio_seconds == 4
        started = time.monotonic()
        code, log = server.end()
        assert time.monotonic() - started < 10
        assert code == 0
        assert '"event": "stopped"' in log
        assert "Traceback" not in log


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/socket"
    with Server(tmp_path / "data", address) as server, Stubs(address) as stubs:
        server.address()
        upload = Upload(stubs)
        server.signal(signal.SIGTERM)
        time.sleep(0.5)
        assert server.process.poll() is None
        started = time.monotonic()
        server.signal(signal.SIGTERM)
        code, log = server.end()
        assert time.monotonic() - started < 5
        assert code == 0
        assert "Traceback" not in log
        upload.release()
        assert upload.call.exception() is not None
        assert code_of(upload.call) in {
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.CANCELLED,
        }


def test_a_signal_while_the_model_loads_ends_quietly(tmp_path: Path) -> None:
    address, model = f"unix:{tmp_path}/socket", SlowModel(tmp_path / "model")
    server = Server(tmp_path / "data", address, MODEL__NAME=str(model.folder))
    with server, Stubs(address, **EAGER) as stubs:
        watcher = Watcher(stubs, "embedsvc.v1.EmbeddingService")
        watcher.wait(NOT_SERVING)
        server.signal(signal.SIGTERM)
        model.release()
        code, log = server.end()
        assert code == 0
        assert "Traceback" not in log
        watcher.end()


def test_an_address_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Server(tmp_path / "data", f"127.0.0.1:{port}") as server:
            code, log = server.end()
    assert code == 1
    assert re.search(rf"embedsvc serve: `address` must be free .*127\.0\.0\.1:{port}", log)
    assert "Traceback" not in log


def test_a_folder_that_is_in_use_is_said_and_left_alone(process: Server) -> None:
    address = process.address()
    with Server(process.data) as second:
        code, log = second.end()
    assert code == 1
    assert "embedsvc serve: " in log
    assert str(process.data) in log
    assert "Traceback" not in log
    with Stubs(address) as stubs:
        made = collection_pb2.CreateCollectionRequest(name="still-here")
        assert stubs.collections.CreateCollection(made).collection.name == "still-here"


def test_numbers_are_exact_unless_asked_otherwise(model: server_pb2.ModelInfo) -> None:
    assert (model.precision, model.precision_reason) == ("fp32", "exact")
    assert model.runtime == "torch"


def test_a_server_in_bfloat16_says_so_and_gives_nearly_the_same_vectors(usual: Floats) -> None:
    with serving({"model": {"precision": "bf16"}}) as target, Stubs(target) as stubs:
        info = stubs.server.GetServerInfo(server_pb2.GetServerInfoRequest()).model
        assert info.precision == "bf16"
        assert info.precision_reason.startswith("asked for; cosines to fp32: frames at least 0.99")
        answer = stubs.embedding.Embed(request()).embedding
        assert usual @ vector(answer) > 0.999


def test_a_call_does_not_stop_for_what_is_there_for_good(tmp_path: Path) -> None:
    """The garbage collector has next to nothing to look at when a server is ready."""
    code = (
        "import asyncio, gc, os, signal, sys\n"
        "from embedsvc.service.server import serve\n"
        "from embedsvc.settings import load\n"
        "def ready(_):\n"
        "    print(gc.get_freeze_count(), len(gc.get_objects()))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "settings = load({'data': sys.argv[1], 'server': {'address': '127.0.0.1:0'}})\n"
        "asyncio.run(serve(settings, ready))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    frozen, looked_at = map(int, done.stdout.split())
    assert frozen > 100_000
    assert looked_at < frozen / 20
