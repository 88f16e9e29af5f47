"""How the segments of an answer are told."""

from embedsvc.types import TranscriptSegment
from embedsvc.v1 import transcription_pb2
from embedsvc.wire import transcripts


class Style:
    """With or without words, and from which confidence on one is doubtful."""

    def __init__(self, options: transcription_pb2.DecodeOptions, prefix: str) -> None:
        self._below = transcripts.threshold(options, f"{prefix}low_confidence")
        self.words = not options.omit_words

    def message(self, segment: TranscriptSegment) -> transcription_pb2.TranscriptSegment:
        """A segment as it was asked for."""
        return transcripts.segment_message(segment, self._below, words=self.words)
