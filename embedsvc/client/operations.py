"""Waiting for work that takes longer than a call."""

from collections.abc import Callable
from dataclasses import dataclass

from google.longrunning import operations_pb2
from google.longrunning.operations_pb2_grpc import OperationsStub
from google.protobuf import duration_pb2

from embedsvc.client.channel import Caller
from embedsvc.v1 import operation_pb2
from embedsvc.wire.errors import error_of

POLL_SECONDS = 1
"""Between two looks at an operation."""


@dataclass(frozen=True)
class Status:
    """How far an operation is: `done` of `total` steps, the one in hand in words."""

    done: int
    total: int
    step: str


Tell = Callable[[Status], None]


class Running:
    """An operation that was begun."""

    def __init__(
        self, begun: operations_pb2.Operation, stub: OperationsStub, caller: Caller
    ) -> None:
        self._seen = begun
        self._stub = stub
        self._caller = caller

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self._seen.name)

    def is_over(self) -> bool:
        """Whether it was over when it was last looked at."""
        return bool(self._seen.done)

    def finish(self, tell: Tell | None = None) -> operations_pb2.Operation:
        """The operation when it went well; raises what ended it. Interrupted, it is cancelled."""
        try:
            while not self._seen.done:
                if tell is not None:
                    tell(self.status())
                self.look()
        except KeyboardInterrupt:
            request = operations_pb2.CancelOperationRequest(name=self._seen.name)
            self._caller.unary(self._stub.CancelOperation, request)
            self.look()  # it ends at its next step; another may begin then
            raise
        if self._seen.HasField("error"):
            raise error_of(self._seen.error)
        return self._seen

    def status(self) -> Status:
        """How far it was when it was last looked at."""
        metadata = operation_pb2.OperationMetadata()
        self._seen.metadata.Unpack(metadata)
        return Status(metadata.done_steps, metadata.total_steps, metadata.step)

    def look(self) -> None:
        """Look again, for at most `POLL_SECONDS`."""
        limit = duration_pb2.Duration(seconds=POLL_SECONDS)
        request = operations_pb2.WaitOperationRequest(name=self._seen.name, timeout=limit)
        self._seen = self._caller.unary(self._stub.WaitOperation, request)
