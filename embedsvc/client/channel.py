"""The connection: its limits, its retries, and statuses as our errors."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
from google.longrunning.operations_pb2_grpc import OperationsStub
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_status import rpc_status

from embedsvc.errors import EmbedsvcError, FailedPrecondition, MessageTooLarge, Unavailable
from embedsvc.v1.collection_pb2_grpc import CollectionServiceStub
from embedsvc.v1.embedding_pb2_grpc import EmbeddingServiceStub
from embedsvc.v1.probe_pb2_grpc import ProbeServiceStub
from embedsvc.v1.search_pb2_grpc import SearchServiceStub
from embedsvc.v1.server_pb2_grpc import ServerServiceStub
from embedsvc.v1.transcription_pb2_grpc import TranscriptionServiceStub
from embedsvc.wire.errors import error_of

Reply = TypeVar("Reply")

MEBIBYTE = 1024 * 1024
MAX_REPLY_BYTES = 1024 * MEBIBYTE
"""Replies are bounded by the server; the client takes what it sends."""

_RETRIES = {
    "methodConfig": [
        {
            "name": [
                {"service": f"embedsvc.v1.{name}"}
                for name in (
                    "EmbeddingService",
                    "CollectionService",
                    "SearchService",
                    "ProbeService",
                    "TranscriptionService",
                    "ServerService",
                )
            ],
            # RESOURCE_EXHAUSTED is safe to retry: the server says after how long, or never.
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.2s",
                "maxBackoff": "5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ]
}


def connect(target: str) -> grpc.Channel:
    """A channel to HOST:PORT or unix:PATH."""
    return grpc.insecure_channel(
        target,
        options=[
            ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
            ("grpc.max_send_message_length", MAX_REPLY_BYTES),
            ("grpc.service_config", json.dumps(_RETRIES)),
            ("grpc.enable_retries", 1),
        ],
    )


@dataclass(frozen=True)
class Stubs:
    """The methods of each service; made all at once, for a closed channel can make no more."""

    embedding: EmbeddingServiceStub
    collections: CollectionServiceStub
    search: SearchServiceStub
    probes: ProbeServiceStub
    transcription: TranscriptionServiceStub
    server: ServerServiceStub
    operations: OperationsStub
    health: HealthStub

    @classmethod
    def of(cls, channel: grpc.Channel) -> "Stubs":
        """Those of `channel`."""
        return cls(
            EmbeddingServiceStub(channel),
            CollectionServiceStub(channel),
            SearchServiceStub(channel),
            ProbeServiceStub(channel),
            TranscriptionServiceStub(channel),
            ServerServiceStub(channel),
            OperationsStub(channel),
            HealthStub(channel),
        )


class Caller:
    """Calls methods with a deadline, and raises our errors."""

    def __init__(self, target: str, timeout: float) -> None:
        self._target = target
        self._timeout = timeout
        self.max_request_bytes: int | None = None
        self.closed = False

    def check_open(self) -> None:
        """Raise FailedPrecondition when the client is closed."""
        if self.closed:
            raise FailedPrecondition(f"the client of {self._target} must be open, but is closed")

    def unary(
        self, method: Callable[..., Reply], request: Message, timeout: float | None = None
    ) -> Reply:
        """One message in, one out."""
        self.check_open()
        self._check_size(request)
        try:
            return method(request, timeout=timeout or self._timeout)
        except grpc.RpcError as error:
            self._fail(error)

    def upload(
        self, method: Callable[..., Reply], requests: Iterator[Any], timeout: float | None
    ) -> Reply:
        """Many messages in, one out."""
        self.check_open()
        try:
            return method(requests, timeout=timeout)
        except grpc.RpcError as error:
            self._fail(error)

    def stream(
        self, method: Callable[..., Iterator[Reply]], requests: Iterator[Any] | Message
    ) -> Iterator[Reply]:
        """One message or many in, many out; leaving the iterator ends the call."""
        self.check_open()
        call: Any = method(requests)
        try:
            yield from call
        except grpc.RpcError as error:
            self._fail(error)
        finally:
            call.cancel()

    def _check_size(self, request: Message) -> None:
        size = request.ByteSize()
        if self.max_request_bytes is not None and size > self.max_request_bytes:
            raise MessageTooLarge(
                f"`request` must be at most {self.max_request_bytes} bytes, but is {size}; "
                "upload long audio in chunks, or send fewer recordings at once",
                max_bytes=self.max_request_bytes,
                bytes=size,
            )

    def _fail(self, error: Any) -> NoReturn:
        raise self._translated(error) from error

    def _translated(self, error: Any) -> EmbedsvcError:
        status = rpc_status.from_call(error)
        if status is not None:
            return error_of(status)
        code, text = error.code(), error.details() or ""
        if code is grpc.StatusCode.UNAVAILABLE:
            return Unavailable(f"no server answers at {self._target}: {text}")
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in text:
            return MessageTooLarge(f"{text}; upload long audio in chunks")
        return error_of(Status(code=code.value[0], message=text))
