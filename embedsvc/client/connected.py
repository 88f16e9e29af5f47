"""A connection to a server, or to one in this process."""

import time
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2

from embedsvc.client import results
from embedsvc.client.channel import Caller, Stubs, connect
from embedsvc.client.local import LOCAL, LocalServer
from embedsvc.client.results import ServerInfo
from embedsvc.errors import Unavailable
from embedsvc.v1 import server_pb2

DEADLINE = 300.0
"""Seconds for one call; an hour of audio has its own."""


class Connected:
    """What every call goes through; `Client` says how it is opened."""

    def __init__(
        self,
        target: str = LOCAL,
        *,
        data: str | Path | None = None,
        model: str | None = None,
        projections: str | Path | None = None,
        timeout: float = DEADLINE,
    ) -> None:
        self._local: LocalServer | None = None
        if target == LOCAL:
            folder = None if data is None else str(data)
            file = None if projections is None else str(projections)
            chosen = {"name": model, "projections": file}
            self._local = LocalServer({"data": folder, "model": chosen})
            target, model = self._local.target, None
        self.target = target
        self._channel = connect(target)
        self._caller = Caller(target, timeout)
        self._stubs = Stubs.of(self._channel)
        self._info: ServerInfo | None = None
        self._model = model or ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the server; a local one stops. What is closed can be closed again."""
        self._caller.closed = True
        self._channel.close()
        if self._local is not None:
            self._local.stop()

    def info(self, *, refresh: bool = False) -> ServerInfo:
        """What the server is and allows; asked once, or again to `refresh` what changes.

        Only whether its `bodies` are well does.
        """
        if self._info is None or refresh:
            request = server_pb2.GetServerInfoRequest()
            reply = self._caller.unary(self._stubs.server.GetServerInfo, request)
            self._info = results.server_info(reply)
            self._caller.max_request_bytes = self._info.max_request_bytes
        return self._info

    def wait_until_serving(self, timeout: float = 60.0) -> None:
        """Return when the model is loaded; raises Unavailable when it takes longer."""
        self._caller.check_open()
        request = health_pb2.HealthCheckRequest(service="embedsvc.v1.EmbeddingService")
        until = time.monotonic() + timeout
        try:
            for answer in self._stubs.health.Watch(request, timeout=timeout, wait_for_ready=True):
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
        except grpc.RpcError as error:
            raise Unavailable(f"{self.target} is not serving after {timeout:g} s") from error
        raise Unavailable(f"{self.target} stopped, {until - time.monotonic():.0f} s before the end")
