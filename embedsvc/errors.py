"""Every error a caller may meet; each class says when.

EmbedsvcError
├── InvalidArgument            the request can never succeed as sent
│   ├── AudioEmpty             no bytes, or no sound in them
│   ├── AudioUndecodable       not audio in a format we read
│   ├── AudioTruncated         less audio arrived than its header promises (strict only)
│   ├── AudioTooShort          less than one encoder frame
│   ├── AudioTooLong           more than the call accepts
│   ├── SampleRateOutOfRange   outside 4-192 kHz
│   ├── ChannelsRejected       several channels, and the caller asked to reject them
│   ├── SamplesNotFinite       NaN or infinity in the waveform
│   ├── PcmSize                bytes that are not whole samples
│   ├── TensorShape            a vector of another size than its space
│   ├── PageTokenInvalid       a page token that is altered, or of another listing
│   ├── ResumeTokenInvalid     a resume token that is altered, or of another stream's config
│   ├── RequestIdReused        the request id of another write
│   └── StreamProtocol         messages of a stream in a wrong order
├── NotFound
│   ├── CollectionNotFound
│   ├── RecordingNotFound
│   ├── ModelNotFound
│   ├── ProbeNotFound
│   ├── HeadNotFound
│   └── OperationNotFound
├── AlreadyExists              a collection of that name, or a recording of that id
├── FailedPrecondition         right in form, wrong for the state things are in
│   ├── SpaceMismatch          vectors of two embedding spaces
│   ├── AudioQuarantined       the encoder failed on this audio a short while ago
│   ├── FeatureDisabled        this server does not offer it
│   └── DataDirectoryInUse     another process has the folder open
├── Exhausted                  a limit is reached
│   ├── QueueFull              too much is waiting; retry after the delay it names
│   ├── DeadlineUnreachable    the answer would come after the deadline
│   ├── AudioExceedsDevice     one utterance alone does not fit the encoder's memory
│   ├── MessageTooLarge        a request or reply over the message limit
│   └── DiskFull
├── Aborted                    ended by what else went on, or did not; a new call may succeed
│   ├── OperationRunning       another operation works on the same
│   └── StreamIdle             a stream of a caller from which nothing came for too long
├── Unavailable                not now: starting, draining or unreachable
│   └── HeadUnavailable        the model that a head reads is not well; others are
├── Cancelled                  the caller left
├── DeadlineExceeded           the time the caller allowed is over
├── DataLoss                   stored data fails its checksum
└── Internal                   a bug; the message never says more
"""

from copy import copy
from typing import ClassVar, Self


class EmbedsvcError(Exception):
    """Base of all errors raised on purpose; the message is safe to show a caller.

    `field` is the path of the argument at fault, such as `audios[2].pcm`. `facts` are the
    numbers and names of the message for programs, with the unit in each name.
    """

    reason: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        retry_after_seconds: float | None = None,
        **facts: str | float,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_seconds = retry_after_seconds
        self.facts = {name: str(value) for name, value in facts.items()}

    def named(self, field: str) -> Self:
        """The same error of another field; this one stays, since several may have met it.

        A message that begins with the field calls it by the last part of its new path, as before.
        """
        other = copy(self)
        old, new = (each.rpartition(".")[2] for each in (self.field, field))
        if old and new and self.message.startswith(f"`{old}`"):
            other.message = f"`{new}`{self.message[len(old) + 2 :]}"
            other.args = (other.message,)
        other.field = field
        return other

    def at(self, prefix: str) -> Self:
        """The same error with its field placed under `prefix`, such as `audios[2]`."""
        return self.named(f"{prefix}.{self.field}" if self.field else prefix)


class InvalidArgument(EmbedsvcError):
    """The request can never succeed as sent."""

    reason = "FIELD_INVALID"


class AudioEmpty(InvalidArgument):
    """No bytes, or a container with no sound in it."""

    reason = "AUDIO_EMPTY"


class AudioUndecodable(InvalidArgument):
    """The bytes are not audio in a format we read."""

    reason = "AUDIO_UNDECODABLE"


class AudioTruncated(InvalidArgument):
    """Less audio arrived than its header promises, and the caller asked to be strict."""

    reason = "AUDIO_TRUNCATED"


class AudioTooShort(InvalidArgument):
    """The utterance is shorter than one encoder frame."""

    reason = "AUDIO_TOO_SHORT"


class AudioTooLong(InvalidArgument):
    """The utterance is longer than the call accepts."""

    reason = "AUDIO_TOO_LONG"


class SampleRateOutOfRange(InvalidArgument):
    """The sample rate is outside the range we resample from."""

    reason = "SAMPLE_RATE_OUT_OF_RANGE"


class ChannelsRejected(InvalidArgument):
    """The audio has more channels than the caller, or we, accept."""

    reason = "CHANNELS_REJECTED"


class SamplesNotFinite(InvalidArgument):
    """The waveform holds NaN or infinity."""

    reason = "SAMPLES_NOT_FINITE"


class PcmSize(InvalidArgument):
    """Raw PCM whose bytes are not a whole number of samples."""

    reason = "PCM_SIZE"


class TensorShape(InvalidArgument):
    """A tensor whose bytes, shape or values do not fit what it is used for."""

    reason = "TENSOR_SHAPE"


class PageTokenInvalid(InvalidArgument):
    """A page token that is altered, or that another listing gave."""

    reason = "PAGE_TOKEN"


class ResumeTokenInvalid(InvalidArgument):
    """A resume token that is altered, or of a stream with another config."""

    reason = "RESUME_TOKEN"


class RequestIdReused(InvalidArgument):
    """A request id that an earlier write with another content has used."""

    reason = "REQUEST_ID_REUSED"


class StreamProtocol(InvalidArgument):
    """Messages of a stream in an order that has no meaning."""

    reason = "STREAM_PROTOCOL"


class NotFound(EmbedsvcError):
    """A named thing does not exist."""

    reason = "NOT_FOUND"


class CollectionNotFound(NotFound):
    """No collection has that name."""

    reason = "COLLECTION_NOT_FOUND"


class RecordingNotFound(NotFound):
    """The collection has no recording with that id."""

    reason = "RECORDING_NOT_FOUND"


class ModelNotFound(NotFound):
    """No such model here."""

    reason = "MODEL_NOT_FOUND"


class ProbeNotFound(NotFound):
    """No probe has that name, or that version of it is not kept."""

    reason = "PROBE_NOT_FOUND"


class HeadNotFound(NotFound):
    """The model has no head of that name, or none that writes that language."""

    reason = "HEAD_NOT_FOUND"


class OperationNotFound(NotFound):
    """No operation of that name: it never was, was deleted, or ended too long ago."""

    reason = "OPERATION_NOT_FOUND"


class AlreadyExists(EmbedsvcError):
    """A collection of that name, or a recording of that id, is there already."""

    reason = "ALREADY_EXISTS"


class FailedPrecondition(EmbedsvcError):
    """Right in form, but wrong for the state things are in."""

    reason = "FAILED_PRECONDITION"


class SpaceMismatch(FailedPrecondition):
    """Vectors of two embedding spaces, which cannot be compared."""

    reason = "SPACE_MISMATCH"


class AudioQuarantined(FailedPrecondition):
    """The encoder failed on this audio alone; it is not tried again for a while."""

    reason = "AUDIO_QUARANTINED"


class FeatureDisabled(FailedPrecondition):
    """This server does not offer what was asked."""

    reason = "FEATURE_DISABLED"


class DataDirectoryInUse(FailedPrecondition):
    """Another process has the data directory open."""

    reason = "DATA_DIRECTORY_IN_USE"


class Exhausted(EmbedsvcError):
    """A limit is reached."""

    reason = "RESOURCE_EXHAUSTED"


class QueueFull(Exhausted):
    """Too much is waiting already; try again after `retry_after_seconds`."""

    reason = "QUEUE_FULL"


class DeadlineUnreachable(Exhausted):
    """The answer would come after the caller's deadline, so the work is not begun."""

    reason = "DEADLINE_UNREACHABLE"


class AudioExceedsDevice(Exhausted):
    """One utterance alone needs more memory than the encoder's device has."""

    reason = "AUDIO_EXCEEDS_DEVICE"


class MessageTooLarge(Exhausted):
    """A request or reply over the limit for one message."""

    reason = "MESSAGE_TOO_LARGE"


class DiskFull(Exhausted):
    """The data directory has no room for the write."""

    reason = "DISK_FULL"


class Unavailable(EmbedsvcError):
    """Not now: the server is starting, draining or out of reach."""

    reason = "UNAVAILABLE"


class HeadUnavailable(Unavailable):
    """The model that a head reads is not well; it is tried again, and everything else goes on."""

    reason = "HEAD_UNAVAILABLE"


class Aborted(EmbedsvcError):
    """Ended by what else went on, or did not; a new call may succeed."""

    reason = "ABORTED"


class OperationRunning(Aborted):
    """Another operation works on the same; wait for it, or cancel it."""

    reason = "OPERATION_RUNNING"


class StreamIdle(Aborted):
    """Nothing came of a stream for too long; a live one may go on in a new call."""

    reason = "STREAM_IDLE"


class Cancelled(EmbedsvcError):
    """The caller left before the answer."""

    reason = "CANCELLED"


class DeadlineExceeded(EmbedsvcError):
    """The time the caller allowed is over."""

    reason = "DEADLINE_EXCEEDED"


class DataLoss(EmbedsvcError):
    """Stored data fails its checksum."""

    reason = "DATA_LOSS"


class Unimplemented(EmbedsvcError):
    """This version has no such method."""

    reason = "UNIMPLEMENTED"


class Internal(EmbedsvcError):
    """A bug of the server; its log has the details, the message never does."""

    reason = "INTERNAL"


def kind_of(reason: str) -> type[EmbedsvcError] | None:
    """The class of ours with that reason."""
    waiting: list[type[EmbedsvcError]] = [EmbedsvcError]
    while waiting:
        kind = waiting.pop(0)
        if kind.reason == reason and kind is not EmbedsvcError:
            return kind
        waiting.extend(kind.__subclasses__())
    return None
