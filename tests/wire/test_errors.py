from collections.abc import Iterator

import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as details
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc import errors
from embedsvc.errors import EmbedsvcError
from embedsvc.wire.errors import code_of, error_of, status_of


def family(kind: type[EmbedsvcError]) -> Iterator[type[EmbedsvcError]]:
    """The class and its descendants of the module of errors."""
    if kind.__module__ == errors.__name__:
        yield kind
    for child in kind.__subclasses__():
        yield from family(child)


KINDS = sorted(set(family(EmbedsvcError)), key=lambda kind: kind.__name__)
SPOKEN = [kind for kind in KINDS if kind not in {EmbedsvcError, errors.Internal}]
CODES = {
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
}

texts = st.text(st.characters(codec="utf-8"), max_size=20)


def sent(status: Status) -> Status:
    """The status as the other side reads it."""
    return Status.FromString(status.SerializeToString())


def detail(status: Status, kind: type[Message]) -> Message | None:
    for packed in status.details:
        found = kind()
        if packed.Unpack(found):
            return found
    return None


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(SPOKEN),
    message=texts,
    field=texts,
    facts=st.dictionaries(texts, texts, max_size=3),
    retry=st.none() | st.floats(0, 1e6),
)
def test_every_error_survives_whole(
    kind: type[EmbedsvcError],
    message: str,
    field: str,
    facts: dict[str, str],
    retry: float | None,
) -> None:
    error = kind(message, field=field, retry_after_seconds=retry)
    error.facts = facts
    found = error_of(sent(status_of(error)))
    assert type(found) is kind
    assert (found.message, str(found), found.field) == (message, message, field)
    assert found.facts == facts
    if retry is None:
        assert found.retry_after_seconds is None
    else:
        assert found.retry_after_seconds == pytest.approx(retry, abs=1e-9)


@pytest.mark.parametrize("kind", SPOKEN)
def test_an_error_has_the_code_of_its_family(kind: type[EmbedsvcError]) -> None:
    (code,) = {code for parent, code in CODES.items() if parent in kind.__mro__}
    assert code_of(kind("x")) == status_of(kind("x")).code == code


def test_no_two_errors_have_one_reason() -> None:
    reasons = [kind.reason for kind in KINDS if kind is not EmbedsvcError]
    assert len(set(reasons)) == len(reasons)


class Odd(EmbedsvcError):
    """An error that this table does not know."""

    reason = "ODD"


@pytest.mark.parametrize("kind", [EmbedsvcError, errors.Internal, Odd])
def test_text_that_is_not_for_callers_never_leaks(kind: type[EmbedsvcError]) -> None:
    status = status_of(kind("/secret/path", field="secret", retry_after_seconds=1.0, request="r1"))
    assert b"secret" not in status.SerializeToString()
    found = error_of(sent(status))
    assert type(found) is errors.Internal
    assert (found.message, found.field, found.facts) == ("internal error", "", {"request": "r1"})
    assert found.retry_after_seconds is None


@pytest.mark.parametrize(("kind", "code"), CODES.items())
def test_an_unknown_reason_falls_back_by_its_code(kind: type[EmbedsvcError], code: int) -> None:
    bare = Status(code=code, message="newer")
    assert type(error_of(bare)) is kind
    bare.details.add().Pack(details.ErrorInfo(reason="OF_A_NEWER_SERVER", metadata={"a": "b"}))
    found = error_of(sent(bare))
    assert type(found) is kind
    assert (found.message, found.facts) == ("newer", {"a": "b"})


@pytest.mark.parametrize("code", [Code.UNKNOWN, Code.INTERNAL, Code.OUT_OF_RANGE, 99])
def test_a_code_that_is_none_of_ours_is_internal(code: int) -> None:
    assert type(error_of(Status(code=code, message="m"))) is errors.Internal


def test_details_that_we_do_not_know_are_passed_over() -> None:
    status = status_of(errors.AudioTooLong("m", field="audio"))
    status.details.add().Pack(details.DebugInfo(detail="d"))
    status.details.add(type_url="type.example/of.Nothing", value=b"\xff")
    assert type(error_of(sent(status))) is errors.AudioTooLong


def test_the_details_are_those_of_the_guide() -> None:
    full = status_of(errors.QueueFull("full", retry_after_seconds=1.5))
    retry = detail(full, details.RetryInfo)
    assert isinstance(retry, details.RetryInfo)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (1, 500_000_000)
    assert detail(full, details.BadRequest) is None

    missing = detail(
        status_of(errors.CollectionNotFound("none", name="talks")), details.ResourceInfo
    )
    assert isinstance(missing, details.ResourceInfo)
    assert missing.resource_name == "talks"
    assert missing.resource_type == "collection"

    long = status_of(errors.AudioTooLong("long", field="audios[2]"))
    bad = detail(long, details.BadRequest)
    assert isinstance(bad, details.BadRequest)
    assert [(one.field, one.description) for one in bad.field_violations] == [("audios[2]", "long")]
    info = detail(long, details.ErrorInfo)
    assert isinstance(info, details.ErrorInfo)
    assert (info.domain, info.reason) == ("embedsvc.v1", "AUDIO_TOO_LONG")
    assert detail(long, details.Help) is not None


@given(st.text(st.characters(codec="utf-8"), min_size=300, max_size=3_000))
@settings(max_examples=30, deadline=None)
def test_however_much_a_caller_sent_what_is_told_fits_the_trailers(sent: str) -> None:
    status = status_of(
        errors.RecordingNotFound(f"`id` {sent * 10}", field=f"ids[{sent!r}]", name=sent)
    )
    # Percent-encoded, and in base64 beside it (gRPC over HTTP/2).
    assert len(status.message.encode()) <= 900
    assert status.ByteSize() * 4 / 3 < 8_192 - 900
    found = error_of(status)
    assert found.message.startswith("`id` ")
    assert found.field.startswith("ids[")
    assert sent.startswith(found.facts["name"].removesuffix("…"))
