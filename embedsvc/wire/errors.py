"""Our errors as `google.rpc.Status`, and back: the only table of status codes.

Every status carries an ErrorInfo with our reason and facts; a BadRequest names the field, a
RetryInfo the delay, a ResourceInfo what is missing and a Help what to call instead.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2 as details
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from embedsvc import errors
from embedsvc.errors import EmbedsvcError, kind_of
from embedsvc.wire.times import duration, seconds

DOMAIN = "embedsvc.v1"

_CODES: dict[type[EmbedsvcError], int] = {
    errors.InvalidArgument: Code.INVALID_ARGUMENT,
    errors.NotFound: Code.NOT_FOUND,
    errors.AlreadyExists: Code.ALREADY_EXISTS,
    errors.FailedPrecondition: Code.FAILED_PRECONDITION,
    errors.Exhausted: Code.RESOURCE_EXHAUSTED,
    errors.Aborted: Code.ABORTED,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.Cancelled: Code.CANCELLED,
    errors.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
    errors.DataLoss: Code.DATA_LOSS,
    errors.Unimplemented: Code.UNIMPLEMENTED,
    errors.Internal: Code.INTERNAL,
}

_HELP = {
    errors.AudioTooLong: "Send long audio by EmbedUpload, TranscribeUpload or UploadRecording.",
    errors.MessageTooLarge: "Upload in chunks, ask for FLOAT16, or ask for a pooled vector.",
}


MOST_MESSAGE, MOST_FIELD, MOST_FACT = 900, 400, 512
"""Bytes: a status travels in the trailers, several times over, and gRPC drops all of it when these
have more than 8 KiB.
"""


def code_of(error: EmbedsvcError) -> int:
    """The status code of the nearest ancestor that has one."""
    return next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), Code.INTERNAL)


def status_of(error: EmbedsvcError) -> Status:
    """`error` as a message; one that has no code of ours says nothing but INTERNAL."""
    code = code_of(error)
    if code == Code.INTERNAL:
        facts, error = error.facts, errors.Internal("internal error")
        error.facts = facts
    error = _fitting(error)
    status = Status(code=code, message=error.message)
    for detail in _details(error):
        status.details.add().Pack(detail)
    return status


def _fitting(error: EmbedsvcError) -> EmbedsvcError:
    """The same error, with as much of what a caller sent as trailers take."""
    found = error.named(_cut(error.field, MOST_FIELD))
    found.message = _cut(error.message, MOST_MESSAGE)
    found.facts = {name: _cut(value, MOST_FACT) for name, value in error.facts.items()}
    return found


def _cut(text: str, most: int) -> str:
    """A text of at most so many bytes, that says when it had more.

    >>> _cut("abc", 3), _cut("żółć żółć", 10)
    ('abc', 'żół…')
    """
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= most:
        return text
    return data[: most - 3].decode("utf-8", "ignore") + "…"


def _details(error: EmbedsvcError) -> Iterator[Any]:
    yield details.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.facts)
    if error.field:
        violation = details.BadRequest.FieldViolation(field=error.field, description=error.message)
        yield details.BadRequest(field_violations=[violation])
    if error.retry_after_seconds is not None:
        yield details.RetryInfo(retry_delay=duration(error.retry_after_seconds))
    if isinstance(error, errors.NotFound):
        missing = type(error).__name__.removesuffix("NotFound").lower() or "resource"
        yield details.ResourceInfo(
            resource_type=missing,
            resource_name=error.facts.get("name", ""),
            description=error.message,
        )
    for kind, text in _HELP.items():
        if isinstance(error, kind):
            yield details.Help(links=[details.Help.Link(description=text)])


def error_of(status: Status) -> EmbedsvcError:
    """The error that a status tells of: by its reason, else by its code."""
    info = details.ErrorInfo()
    bad = details.BadRequest()
    retry = details.RetryInfo()
    for packed in status.details:
        _unpack(packed, info, bad, retry)
    kind = kind_of(info.reason) or _kind_of(status.code)
    error = kind(
        status.message,
        field=bad.field_violations[0].field if bad.field_violations else "",
        retry_after_seconds=seconds(retry.retry_delay) if retry.HasField("retry_delay") else None,
    )
    error.facts = dict(info.metadata)
    return error


def _unpack(packed: AnyMessage, *targets: Any) -> None:
    for target in targets:
        if packed.Is(target.DESCRIPTOR):
            packed.Unpack(target)


def _kind_of(code: int) -> type[EmbedsvcError]:
    return next((kind for kind, number in _CODES.items() if number == code), errors.Internal)
