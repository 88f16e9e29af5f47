"""What came of the files of a batch, as messages and as the bytes that are kept of them.

A kept result is a `FileTranscript`, added to part by part: parts that follow each other are one
message, of which lists are joined.
"""

from collections.abc import Mapping
from typing import Any

from google.rpc.status_pb2 import Status

from embedsvc import telemetry
from embedsvc.errors import EmbedsvcError, Internal
from embedsvc.pipeline.batch_folder import Result
from embedsvc.pipeline.transcriber import Ended
from embedsvc.types import HeadInfo, TranscriptSegment
from embedsvc.v1 import transcription_pb2
from embedsvc.wire import audio, enums, times, transcripts
from embedsvc.wire.errors import status_of


class _Notes:
    def segment(self, segment: TranscriptSegment, below: float, *, words: bool) -> bytes:
        return _part(segments=[transcripts.segment_message(segment, below, words=words)])

    def ended(self, ended: Ended, head: HeadInfo, language: str) -> bytes:
        return _part(
            warnings=audio.warning_messages(ended.warnings),
            usage=audio.usage_message(ended.samples, ended.frames),
            timing=times.timing_message(ended.timing),
            head=head.name,
            kind=enums.HEAD_KIND[head.kind],
            language_code=language,
        )

    def failed(self, error: Exception) -> bytes:
        kept = transcription_pb2.FileTranscript(status=_status(error))
        return kept.SerializeToString()


NOTES = _Notes()


def file_message(
    id: str,  # the field's name
    result: Result,
    *,
    words: bool,
) -> transcription_pb2.FileTranscript:
    """What came of a file; without `words`, text and spans of segments alone."""
    message = transcription_pb2.FileTranscript.FromString(result.notes)
    message.id = id
    message.audio_seconds = result.audio_seconds
    message.work.CopyFrom(times.duration(result.work_seconds))
    if message.HasField("transcript"):
        message.transcript.id = id
        if not words:
            for segment in message.transcript.segments:
                segment.ClearField("words")
    return message


def counts(result: Mapping[str, Any]) -> transcription_pb2.BatchTranscribeResponse:
    """What came of a batch, in numbers."""
    return transcription_pb2.BatchTranscribeResponse(
        files=result["files"],
        failed=result["failed"],
        audio_seconds=result["audio_seconds"],
        work=times.duration(result["work_seconds"]),
    )


def _part(**fields: Any) -> bytes:
    transcript = transcription_pb2.TranscribeResponse(**fields)
    return transcription_pb2.FileTranscript(transcript=transcript).SerializeToString()


def _status(error: Exception) -> Status:
    if isinstance(error, EmbedsvcError):
        return status_of(error)
    telemetry.bug("BatchTranscribe", "", error)
    return status_of(Internal("internal error"))
