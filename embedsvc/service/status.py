"""From our errors to gRPC statuses, around every method: the service catches errors here alone.

A bug answers INTERNAL and a request id; its text stays in the log, where gRPC left alone would
send it to the caller. Each call writes one line to the log.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from embedsvc import telemetry
from embedsvc.errors import EmbedsvcError, Exhausted, Internal, InvalidArgument
from embedsvc.wire.errors import code_of, status_of

Servicer = TypeVar("Servicer")
Request = TypeVar("Request")
Response = TypeVar("Response")
Context = grpc.aio.ServicerContext[Any, Any]

REQUEST_ID = "x-request-id"
PUSHBACK = "grpc-retry-pushback-ms"


def unary(
    method: Callable[[Servicer, Request, Context], Awaitable[Response]],
) -> Callable[[Servicer, Request, Context], Awaitable[Response]]:
    """Answer our own errors with their status, and bugs with INTERNAL and no detail."""

    @wraps(method)
    async def answer(self: Servicer, request: Request, context: Context) -> Response:
        call = _Call(_name(self, method), context)
        try:
            response = await method(self, request, context)
        except BaseException as error:  # noqa: BLE001  # every end of a call is accounted for
            await call.failed(error)
        call.ended("OK")
        return response

    return answer


def stream(
    method: Callable[[Servicer, Request, Context], AsyncIterator[Response]],
) -> Callable[[Servicer, Request, Context], AsyncIterator[Response]]:
    """As `unary`, for methods that yield their answers."""

    @wraps(method)
    async def answer(self: Servicer, request: Request, context: Context) -> AsyncIterator[Response]:
        call = _Call(_name(self, method), context)
        try:
            async for response in method(self, request, context):
                yield response
        except GeneratorExit:
            call.ended("CANCELLED")
            raise
        except BaseException as error:  # noqa: BLE001  # every end of a call is accounted for
            await call.failed(error)
        call.ended("OK")

    return answer


@contextmanager
def naming(**fields: str) -> Iterator[None]:
    """Call the field of an error as the request does: `naming(id="recording_id")`."""
    try:
        yield
    except EmbedsvcError as error:
        head, dot, rest = error.field.partition(".")
        raise error.named(f"{fields.get(head, head)}{dot}{rest}") from error


def item_status(error: BaseException, field: str) -> Status:
    """The status of one item of a batch; a bug is logged and says nothing."""
    if isinstance(error, EmbedsvcError):
        return status_of(error.at(field))
    telemetry.bug(field, "", error)
    return status_of(Internal("internal error"))


class _Call:
    """One call, from its start to its line in the log."""

    def __init__(self, method: str, context: Context) -> None:
        self._method = method
        self._context = context
        self._started = time.perf_counter()
        self._request_id = _request_id(context)

    def ended(self, status: str, **fields: object) -> None:
        seconds = time.perf_counter() - self._started
        telemetry.call(self._method, status, seconds, request_id=self._request_id, **fields)

    async def failed(self, error: BaseException) -> NoReturn:
        if isinstance(error, asyncio.CancelledError) and _leaving():
            self.ended("CANCELLED")
            raise error
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        if isinstance(error, DecodeError):
            error = InvalidArgument("each message must be one of this method, but one is not")
        if not isinstance(error, EmbedsvcError):
            # A CancelledError of an inner task ends here too: passed on, the caller would hang.
            telemetry.bug(self._method, self._request_id, error)
            error = Internal("internal error", request_id=self._request_id)
        self.ended(Code.Name(code_of(error)), reason=error.reason)
        status = rpc_status.to_status(status_of(error))
        trailers = (*status.trailing_metadata, *self._trailers(error))
        # Trailers set beforehand would be dropped by abort_with_status.
        await self._context.abort(status.code, status.details, trailers)
        raise AssertionError("abort raises")

    def _trailers(self, error: EmbedsvcError) -> list[tuple[str, str]]:
        trailers = [(REQUEST_ID, self._request_id)]
        if error.retry_after_seconds is not None:
            trailers.append((PUSHBACK, str(round(error.retry_after_seconds * 1000))))
        elif isinstance(error, Exhausted):
            trailers.append((PUSHBACK, "-1"))  # the same again would fail again
        return trailers


def _leaving() -> bool:
    """Whether this task itself is cancelled: the caller left, or the deadline passed."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _name(servicer: object, method: Callable[..., Any]) -> str:
    return f"{type(servicer).__name__.removesuffix('Servicer')}Service.{method.__name__}"


def _request_id(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID and isinstance(value, str) and value.isascii() and len(value) <= 64:
            return value
    return secrets.token_hex(8)
