"""Builds the server, keeps its health true, and stops it in two stages.

It listens before the model is loaded: health says NOT_SERVING and calls answer UNAVAILABLE
until the encoder has run once. Afterwards services are as healthy as the served model, and a head
has a health of its own, as `embedsvc.v1.TranscriptionService/HEAD`. On the first signal health
turns NOT_SERVING and calls in progress may finish; a second signal, or the end of the grace, stops
them.
"""

import asyncio
import gc
import signal
from collections.abc import Callable
from types import ModuleType
from typing import Any

import grpc
from google.longrunning import operations_pb2_grpc
from google.longrunning.operations_pb2 import DESCRIPTOR as OPERATIONS
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from embedsvc import telemetry
from embedsvc.batching import MAIN, Fault
from embedsvc.errors import Unavailable
from embedsvc.service.backend import Backend, workers
from embedsvc.service.collections import CollectionServicer
from embedsvc.service.embedding import EmbeddingServicer
from embedsvc.service.health import NOT_SERVING, SERVING, Health
from embedsvc.service.info import ServerServicer
from embedsvc.service.operations import OperationsServicer
from embedsvc.service.probes import ProbeServicer
from embedsvc.service.search import SearchServicer
from embedsvc.service.transcription import TranscriptionServicer
from embedsvc.settings import ServerSettings, Settings
from embedsvc.v1 import (
    collection_pb2,
    collection_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    probe_pb2,
    probe_pb2_grpc,
    search_pb2,
    search_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    transcription_pb2,
    transcription_pb2_grpc,
)

_OFFERED = tuple(
    name
    for file in (
        embedding_pb2.DESCRIPTOR,
        collection_pb2.DESCRIPTOR,
        search_pb2.DESCRIPTOR,
        probe_pb2.DESCRIPTOR,
        transcription_pb2.DESCRIPTOR,
        server_pb2.DESCRIPTOR,
        OPERATIONS,
    )
    for name in (service.full_name for service in file.services_by_name.values())
)
_TRANSCRIPTION = transcription_pb2.DESCRIPTOR.services_by_name["TranscriptionService"].full_name
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class Server:
    """A server and what it stands on, from `start` to `stop`."""

    def __init__(self, settings: Settings, *, claim_data: bool = True) -> None:
        self._settings = settings
        self._backend = Backend(settings, claim_data=claim_data)
        self._health = Health()
        self._sick: set[str] = set()
        self._server = self._build(settings.server)
        self.port = 0

    @property
    def address(self) -> str:
        """Where it listens, with the port it was given."""
        address = self._settings.server.address
        if address.startswith("unix:"):
            return address
        return f"{address.rpartition(':')[0]}:{self.port}"

    async def listen(self) -> None:
        """Bind and answer; the model is not needed for that."""
        address = self._settings.server.address
        asyncio.get_running_loop().set_default_executor(workers())
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise Unavailable(
                f"`address` must be free to listen on, but {address} is not"
            ) from error
        self._set_services(NOT_SERVING)
        self._health.set("", SERVING)
        await self._server.start()

    async def load(self) -> None:
        """Load the model; afterwards the server is ready."""
        await self._backend.start(self._tell)
        self._set_health()

    async def start(self) -> None:
        """Listen and load; lets go of everything when that fails."""
        try:
            await self.listen()
            await self.load()
        except BaseException:
            await self.stop(0)
            raise

    async def stop(self, grace: float) -> None:
        """Tell callers to leave, let calls finish for `grace` seconds, then let go."""
        self._health.end()
        await self._server.stop(grace)
        await self._backend.stop()

    def _build(self, settings: ServerSettings) -> grpc.aio.Server:
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.max_request_bytes),
                ("grpc.max_send_message_length", settings.max_response_bytes),
                # Two servers on one port would share its callers unseen.
                ("grpc.so_reuseport", 0),
            ],
            maximum_concurrent_rpcs=settings.max_concurrent_calls,
        )
        _add(embedding_pb2_grpc, EmbeddingServicer(self._backend), server)
        _add(collection_pb2_grpc, CollectionServicer(self._backend), server)
        _add(search_pb2_grpc, SearchServicer(self._backend), server)
        _add(server_pb2_grpc, ServerServicer(self._backend), server)
        _add(probe_pb2_grpc, ProbeServicer(self._backend), server)
        _add(transcription_pb2_grpc, TranscriptionServicer(self._backend), server)
        operations = OperationsServicer(self._backend)
        operations_pb2_grpc.add_OperationsServicer_to_server(operations, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (*_OFFERED, _HEALTH, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    def _tell(self, body: str, fault: Fault | None) -> None:
        """Say whether a body gets on."""
        text = "" if fault is None else fault.text
        telemetry.event("health", body=body, serving=fault is None, fault=text)
        if fault is None:
            self._sick.discard(body)
        else:
            self._sick.add(body)
            if fault.error is not None:
                telemetry.bug("health", "", fault.error)
        self._set_health()

    def _set_health(self) -> None:
        """That of services is that of the served model; a head needs its own body too."""
        self._set_services(NOT_SERVING if MAIN in self._sick else SERVING)
        bodies = self._backend.bodies
        for body in bodies.encoders:
            status = NOT_SERVING if self._sick & {MAIN, body} else SERVING
            for head in bodies.heads.on(body):
                self._health.set(f"{_TRANSCRIPTION}/{head}", status)

    def _set_services(self, status: int) -> None:
        for name in _OFFERED:
            self._health.set(name, status)


def _add(module: ModuleType, servicer: object, server: grpc.aio.Server) -> None:
    """Register a servicer by the function that its generated module has for it."""
    (name,) = (name for name in vars(module) if name.startswith("add_"))
    register: Callable[[Any, grpc.aio.Server], None] = getattr(module, name)
    register(servicer, server)


async def serve(settings: Settings, ready: Callable[[Server], None]) -> None:
    """Serve until a signal; `ready` is told when the model is loaded."""
    server = Server(settings)
    stopping = asyncio.Event()
    at_once = asyncio.Event()

    def signalled() -> None:
        (at_once if stopping.is_set() else stopping).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, signalled)
    starting = asyncio.create_task(server.start())
    waiting = asyncio.create_task(stopping.wait())
    await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        return
    starting.result()
    _settle()
    ready(server)
    await stopping.wait()
    telemetry.event("draining", grace_seconds=settings.server.drain_seconds)
    await _drain(server, settings.server.drain_seconds, at_once)
    telemetry.event("stopped")


def _settle() -> None:
    """Take what is there for good out of what the garbage collector looks through.

    The libraries of the encoder alone are 300,000 objects, and every call stops as long as they are
    gone through: some tenths of a second.
    """
    gc.collect()
    gc.freeze()


async def _drain(server: Server, grace: float, at_once: asyncio.Event) -> None:
    draining = asyncio.create_task(server.stop(grace))
    hurry = asyncio.create_task(at_once.wait())
    await asyncio.wait({draining, hurry}, return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        await server.stop(0)
    hurry.cancel()
    await draining
