"""What a client has written down."""

from collections.abc import Iterator, Sequence
from typing import Any

from embedsvc.client import audible, transcripts
from embedsvc.client.audible import Audible, Sound
from embedsvc.client.connected import Connected
from embedsvc.client.transcripts import Aligned, Transcript
from embedsvc.errors import AudioTooLong, Internal, MessageTooLarge
from embedsvc.types import (
    ChannelPolicy,
    DecodeOptions,
    HeadInfo,
    Lane,
    TranscriptSegment,
)
from embedsvc.v1 import transcription_pb2
from embedsvc.wire import transcripts as wire_transcripts


class TranscribingCalls(Connected):
    """Text of speech, and when it is said."""

    def heads(self) -> list[HeadInfo]:
        """What the server writes with, by name."""
        request = transcription_pb2.ListHeadsRequest()
        reply = self._caller.unary(self._stubs.transcription.ListHeads, request)
        return list(map(wire_transcripts.head, reply.heads))

    def transcribe(
        self,
        source: Audible,
        *,
        head: str = "",
        language: str = "",
        options: DecodeOptions | None = None,
        probes: Sequence[str] = (),
        channels: ChannelPolicy | str = ChannelPolicy.MIX,
        lane: Lane | str | None = None,
    ) -> Transcript:
        """Write down one recording of any length.

        `language` (ISO 639 or BCP 47) chooses a head that writes it, where no `head` is named;
        `probes` hear the same pass. Audio too large for one message is uploaded in chunks.
        """
        policy = audible.choice(ChannelPolicy, channels, "channels")
        sound = audible.read(source, policy)
        fields: dict[str, Any] = {
            "head": head,
            "language_code": language,
            "options": wire_transcripts.options_message(options or DecodeOptions()),
            "probes": probes,
            "lane": audible.lane_number(lane),
        }
        if sound.is_small(self.info()):
            request = transcription_pb2.TranscribeRequest(audio=sound.message(), **fields)
            try:
                reply = self._caller.unary(self._stubs.transcription.Transcribe, request)
                return transcripts.transcript(wire_transcripts.segments(reply.segments), reply)
            except (AudioTooLong, MessageTooLarge):
                pass  # a small file of much audio
        segments: list[TranscriptSegment] = []
        for each in self._uploaded(sound, fields):
            if isinstance(each, TranscriptSegment):
                segments.append(each)
            else:
                return transcripts.transcript(segments, each)
        raise Internal("the server must end a transcript, but did not")

    def align(
        self,
        source: Audible,
        text: str,
        *,
        head: str = "",
        language: str = "",
        channels: ChannelPolicy | str = ChannelPolicy.MIX,
        lane: Lane | str | None = None,
    ) -> Aligned:
        """When each word of `text` is said in an utterance, and how likely it is that it is."""
        policy = audible.choice(ChannelPolicy, channels, "channels")
        request = transcription_pb2.AlignRequest(
            audio=audible.read(source, policy).message(),
            text=text,
            head=head,
            language_code=language,
            lane=audible.lane_number(lane),
        )
        return transcripts.aligned(self._caller.unary(self._stubs.transcription.Align, request))

    def _uploaded(self, sound: Sound, fields: dict[str, Any]) -> Iterator[Any]:
        """Each segment when the server has written it, then the message of the end."""
        kind = transcription_pb2.TranscribeUploadRequest
        config = kind.Config(**fields, **sound.upload_fields())
        requests = audible.upload(kind, config, sound, self.info().chunk_bytes)
        for reply in self._caller.stream(self._stubs.transcription.TranscribeUpload, requests):
            if reply.HasField("end"):
                yield reply.end
            else:
                yield wire_transcripts.segment(reply.segment)
