"""The health of each service, as gRPC's health checking protocol (grpc.health.v1) tells it.

grpcio-health-checking has a servicer too, but its watches never end: a server that stops would
wait for each of them until its grace is over.
"""

import asyncio
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from embedsvc.service.status import Context

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Health(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # untyped
    """Answers Check and Watch; to be used from the event loop alone."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._ended = False

    def set(self, service: str, status: int) -> None:
        """From now on `service` is SERVING or NOT_SERVING; after the end it stays as it is."""
        if self._ended:
            return
        self._statuses[service] = status
        self._tell()

    def end(self) -> None:
        """Say NOT_SERVING for everything, and let watchers go."""
        self._statuses = dict.fromkeys(self._statuses, NOT_SERVING)
        self._ended = True
        self._tell()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> health_pb2.HealthCheckResponse:
        """The health of a service now; NOT_FOUND for one that nobody knows."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The health of a service, and again whenever it changes, until the server stops."""
        last = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, SERVICE_UNKNOWN)
            if status != last:
                yield health_pb2.HealthCheckResponse(status=status)
                last = status
            if self._ended and changed is self._changed:
                return
            await changed.wait()

    def _tell(self) -> None:
        # A new event for the next change: who waits for this one may still be busy writing.
        self._changed.set()
        self._changed = asyncio.Event()
