"""The Operations service of google.longrunning: work that takes longer than a call."""

import asyncio
from contextlib import suppress
from typing import Any

from google.longrunning import operations_pb2, operations_pb2_grpc
from google.protobuf import empty_pb2

from embedsvc.errors import CollectionNotFound, DataLoss, InvalidArgument, ProbeNotFound
from embedsvc.operations import Operation
from embedsvc.pipeline import batch_transcribing, fitting
from embedsvc.service import convert, paging, written
from embedsvc.service.backend import Backend
from embedsvc.service.status import Context, unary
from embedsvc.v1 import collection_pb2, operation_pb2, probe_pb2
from embedsvc.wire import probes, times
from embedsvc.wire.errors import status_of

COLLECTION = "operations"


class OperationsServicer(operations_pb2_grpc.OperationsServicer):  # type: ignore[misc]  # untyped
    """Tells of operations, waits for them, and ends them."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @unary
    async def ListOperations(
        self, request: operations_pb2.ListOperationsRequest, context: Context
    ) -> operations_pb2.ListOperationsResponse:
        """All that are known, the oldest first."""
        if request.filter:
            raise InvalidArgument("`filter` must be empty: there is none yet", field="filter")
        if request.name not in {"", COLLECTION}:
            raise InvalidArgument(
                f"`name` must be {COLLECTION} or empty, but is {request.name[:80]!r}", field="name"
            )
        size = convert.page_size(request.page_size)
        after = paging.cursor(request.page_token, COLLECTION)
        known = sorted(self._backend.operations.list(), key=_place)
        first = _placed(after) if after else None
        rest = [each for each in known if first is None or _place(each) > first]
        response = operations_pb2.ListOperationsResponse()
        most = self._backend.settings.server.max_response_bytes
        room = int(most * convert.MESSAGE_SHARE)
        for number, each in enumerate(rest[: size + 1]):
            told = await message(self._backend, each)
            room -= told.ByteSize()
            if number == size or (room < 0 and number):
                last = "{} {}".format(*_place(rest[number - 1]))
                response.next_page_token = paging.token(last, COLLECTION)
                break
            response.operations.append(told)
        return convert.fitting(response, most, "get each by its name")

    @unary
    async def GetOperation(
        self, request: operations_pb2.GetOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        """An operation as it is now."""
        operation = self._backend.operations.get(id_of(request.name))
        return await message(self._backend, operation)

    @unary
    async def WaitOperation(
        self, request: operations_pb2.WaitOperationRequest, context: Context
    ) -> operations_pb2.Operation:
        """An operation when it is over, or as it is at the end of the time allowed."""
        limit = times.seconds(request.timeout) if request.HasField("timeout") else None
        left = context.time_remaining()
        seconds = min((each for each in (limit, left) if each is not None), default=None)
        operation = await self._backend.operations.wait(id_of(request.name), seconds)
        return await message(self._backend, operation)

    @unary
    async def CancelOperation(
        self, request: operations_pb2.CancelOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        """Ask an operation to end."""
        await self._backend.operations.cancel(id_of(request.name))
        return empty_pb2.Empty()

    @unary
    async def DeleteOperation(
        self, request: operations_pb2.DeleteOperationRequest, context: Context
    ) -> empty_pb2.Empty:
        """Forget an operation that is over."""
        await self._backend.operations.delete(id_of(request.name))
        return empty_pb2.Empty()


def _place(operation: Operation) -> tuple[float, str]:
    """Where it stands in the listing, whatever else is deleted."""
    return operation.created_at, operation.id


def _placed(cursor: str) -> tuple[float, str]:
    """The place that a token tells of."""
    created_at, _, id = cursor.partition(" ")
    try:
        return float(created_at), id
    except ValueError as error:
        raise paging.invalid() from error


async def message(backend: Backend, operation: Operation) -> operations_pb2.Operation:
    """An operation as a message."""
    progress = operation.progress
    metadata = operation_pb2.OperationMetadata(
        kind=operation.kind,
        target=operation.target,
        done_steps=progress.done,
        total_steps=progress.total,
        step=progress.what,
        create_time=times.timestamp(operation.created_at),
        update_time=times.timestamp(operation.updated_at),
    )
    told = operations_pb2.Operation(name=f"{COLLECTION}/{operation.id}", done=operation.done)
    told.metadata.Pack(metadata)
    if operation.error is not None:
        told.error.CopyFrom(status_of(operation.error))
    elif operation.result is not None:
        told.response.Pack(await _response(backend, operation))
    return told


async def _response(backend: Backend, operation: Operation) -> Any:
    assert operation.result is not None
    if operation.kind == fitting.KIND:
        return await _fitted(backend, operation.result["collection"])
    if operation.kind == batch_transcribing.KIND:
        return written.counts(operation.result)
    address = f"{operation.result['probe']}@{operation.result['version']}"
    response = probe_pb2.TrainProbeResponse()
    with suppress(ProbeNotFound, DataLoss):  # gone since
        probe = await asyncio.to_thread(backend.shelf.get, address)
        response.probe.CopyFrom(probes.info_message(probe.info))
    return response


async def _fitted(backend: Backend, name: str) -> collection_pb2.FitTransformResponse:
    response = collection_pb2.FitTransformResponse()
    with suppress(CollectionNotFound):  # deleted since
        info = await backend.library.info(name)
        response.collection.CopyFrom(convert.collection_message(info))
    return response


def id_of(name: str, field: str = "name") -> str:
    """The id in the name of an operation; raises InvalidArgument."""
    head, _, id = name.partition("/")
    if head != COLLECTION or not id:
        raise InvalidArgument(
            f"`{field}` must be {COLLECTION}/ID, but is {name[:80]!r}", field=field
        )
    return id
