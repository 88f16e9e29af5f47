"""Many recordings written down by one operation of the server."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from google.longrunning import operations_pb2

from embedsvc.client import audible, transcripts
from embedsvc.client.audible import Audible, Sound
from embedsvc.client.connected import Connected
from embedsvc.client.operations import Running, Tell
from embedsvc.client.transcripts import Transcript
from embedsvc.errors import AudioUndecodable, EmbedsvcError
from embedsvc.types import ChannelPolicy, DecodeOptions, Lane
from embedsvc.v1 import transcription_pb2
from embedsvc.wire import audio, enums, times
from embedsvc.wire import transcripts as wire_transcripts
from embedsvc.wire.errors import error_of

LONGEST_NAME = 150


@dataclass(frozen=True)
class Written:
    """What came of one recording of a batch: a transcript, or an error.

    `place` is its place among the sources. `work_seconds` is how long the server took for it.
    """

    place: int
    id: str
    transcript: Transcript | None
    error: EmbedsvcError | None
    work_seconds: float = 0.0


class BatchTranscribingCalls(Connected):
    """Text of many recordings."""

    def transcribe_batch(
        self,
        sources: Sequence[Audible],
        *,
        head: str = "",
        language: str = "",
        options: DecodeOptions | None = None,
        channels: ChannelPolicy | str = ChannelPolicy.MIX,
        lane: Lane | str | None = None,
        tell: Tell | None = None,
    ) -> Iterator[Written]:
        """Write down recordings, one after the other; each when it is there, in order.

        All of them are sent when the first is asked for. One that fails stops no other; `tell`
        hears of the progress. The operation and its results are deleted at the end, or when the
        iterator is left.
        """
        policy = audible.choice(ChannelPolicy, channels, "channels")
        config = transcription_pb2.BatchTranscribeRequest.Config(
            head=head,
            language_code=language,
            options=wire_transcripts.options_message(options or DecodeOptions()),
            lane=audible.lane_number(lane),
        )
        sending = _Sending(sources, policy)
        if not sending.sounds:
            yield from sending.failures(len(sources))
            return
        method = self._stubs.transcription.BatchTranscribe
        messages = sending.messages(config, self.info().chunk_bytes)
        begun = self._caller.upload(method, messages, None)
        running = Running(begun, self._stubs.operations, self._caller)
        try:
            for found in self._followed(running, tell):
                place = int(found.id.partition(" ")[0])
                yield from sending.failures(place)
                sending.next = place + 1
                yield sending.said(place, found)
            yield from sending.failures(len(sources))
        finally:
            self._drop(begun.name)

    def _followed(self, running: Running, tell: Tell | None) -> Iterator[Any]:
        """What came of each file, as soon as it is there; raises what ended the operation."""
        request = transcription_pb2.ListTranscriptsRequest(operation=running.name)
        while True:
            over = running.is_over()
            if tell is not None:
                tell(running.status())
            page = self._caller.unary(self._stubs.transcription.ListTranscripts, request)
            yield from page.transcripts
            if not page.next_page_token:
                running.finish()
                return
            request.page_token = page.next_page_token
            if not page.transcripts and not over:
                running.look()

    def _drop(self, name: str) -> None:
        """End an operation, and delete it with its results."""
        stub = self._stubs.operations
        self._caller.unary(stub.CancelOperation, operations_pb2.CancelOperationRequest(name=name))
        ended = stub.WaitOperation, operations_pb2.WaitOperationRequest(name=name)
        if self._caller.unary(*ended).done:
            self._caller.unary(
                stub.DeleteOperation, operations_pb2.DeleteOperationRequest(name=name)
            )


class _Sending:
    """The sources on their way; those that cannot be read are told of in their place."""

    def __init__(self, sources: Sequence[Audible], policy: ChannelPolicy) -> None:
        self.sounds: dict[int, Sound] = {}
        self._wrong: dict[int, EmbedsvcError] = {}
        self.next = 0
        for place, source in enumerate(sources):
            try:
                self.sounds[place] = audible.read(source, policy)
            except EmbedsvcError as error:
                self._wrong[place] = error

    def messages(self, config: Any, chunk_bytes: int) -> Iterator[Any]:
        kind = transcription_pb2.BatchTranscribeRequest
        yield kind(config=config)
        for place, sound in self.sounds.items():
            form = None if sound.pcm is None else audio.pcm_message(sound.pcm)
            policy = enums.CHANNELS[sound.policy]
            yield kind(file=kind.File(id=_id(place, sound), pcm=form, channel_policy=policy))
            try:
                for chunk in sound.chunks(chunk_bytes):
                    yield kind(audio=chunk)
            except OSError as error:
                # What was sent of it is written down, and not told of.
                text = f"`{sound.path}` must be readable, but is not: {error.strerror}"
                self._wrong[place] = AudioUndecodable(text)

    def failures(self, end: int) -> Iterator[Written]:
        """Those that could not be read, up to a place."""
        for place in range(self.next, end):
            if place in self._wrong:
                yield Written(place, str(place), None, self._wrong[place])
        self.next = max(self.next, end)

    def said(self, place: int, found: Any) -> Written:
        work = times.seconds(found.work)
        if place in self._wrong:
            return Written(place, found.id, None, self._wrong[place], work)
        if found.HasField("status"):
            return Written(place, found.id, None, error_of(found.status), work)
        reply = found.transcript
        segments = wire_transcripts.segments(reply.segments)
        return Written(place, found.id, transcripts.transcript(segments, reply), None, work)


def _id(place: int, sound: Sound) -> str:
    """The place, and the name of the file for people who watch the operation."""
    if sound.path is None:
        return str(place)
    name = sound.path.name.encode("utf-8", "replace").decode()
    return f"{place} {name[:LONGEST_NAME]}"
