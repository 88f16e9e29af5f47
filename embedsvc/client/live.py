"""Live speech that a client has written down while it is said."""

from collections.abc import Iterable, Iterator
from typing import Any

from embedsvc.client import audible, transcripts
from embedsvc.client.connected import Connected
from embedsvc.client.resuming import Kept, resuming
from embedsvc.client.transcripts import FinalText, InterimText, LiveAnswer
from embedsvc.types import DecodeOptions, Lane, PcmFormat, StreamMode
from embedsvc.v1 import transcription_pb2
from embedsvc.wire import audio as wire_audio
from embedsvc.wire import enums, times
from embedsvc.wire import transcripts as wire_transcripts

_Request = transcription_pb2.StreamTranscribeRequest


class LiveCalls(Connected):
    """Text of speech that goes on."""

    def transcribe_stream(  # noqa: PLR0913  # each is a field of the request
        self,
        chunks: Iterable[bytes | None],
        pcm: PcmFormat,
        *,
        head: str = "",
        language: str = "",
        options: DecodeOptions | None = None,
        interval: float | None = None,
        mode: StreamMode | str = StreamMode.RECOMPUTE,
        lookahead: float | None = None,
        final_pass: bool = False,
        end_silence: float | None = None,
        lane: Lane | str | None = None,
        resume_seconds: float = 0.0,
        resume_token: bytes = b"",
    ) -> Iterator[InterimText | FinalText]:
        """Write down live PCM: text while it is said, and each stretch when it is over.

        It is heard every `interval` seconds, 0.2 to 5 (1, and 0.4 in mode `lookahead`). None among
        the chunks ends a stretch now. When the server goes away, the stream goes on in new calls,
        and the text of the stretch that went on begins again; Unavailable is raised when none
        answers for `resume_seconds`. With a `resume_token` it goes on where an earlier call was.
        """
        answers = self.transcribe_live(
            chunks,
            pcm,
            head=head,
            language=language,
            options=options,
            interval=interval,
            mode=mode,
            lookahead=lookahead,
            final_pass=final_pass,
            end_silence=end_silence,
            lane=lane,
            resume_seconds=resume_seconds,
            resume_token=resume_token,
        )
        for answer in answers:
            if isinstance(answer, InterimText | FinalText):
                yield answer

    def transcribe_live(
        self,
        chunks: Iterable[bytes | None],
        pcm: PcmFormat,
        *,
        resume_seconds: float = 0.0,
        resume_token: bytes = b"",
        **fields: Any,
    ) -> Iterator[LiveAnswer]:
        """As `transcribe_stream`, with all that is told: events, progress and the end too."""
        config = _config(pcm, **fields)

        def call(token: bytes, sent: Iterable[bytes | None]) -> Iterator[Any]:
            config.resume_token = token
            stream = self._stubs.transcription.StreamTranscribe
            return self._caller.stream(stream, _requests(config, sent))

        if resume_seconds > 0:
            kept = Kept(chunks, pcm)
            kept.token = resume_token
            replies = resuming(kept, call, resume_seconds)
        else:
            replies = call(resume_token, chunks)
        for reply in replies:
            answer = transcripts.live_answer(reply)
            if answer is not None:
                yield answer


def _requests(
    config: transcription_pb2.StreamTranscribeRequest.Config, sent: Iterable[bytes | None]
) -> Iterator[_Request]:
    yield _Request(config=config)
    for chunk in sent:
        yield _Request(flush=_Request.Flush()) if chunk is None else _Request(audio=chunk)


def _config(  # noqa: PLR0913  # each is a field of the request
    pcm: PcmFormat,
    *,
    head: str = "",
    language: str = "",
    options: DecodeOptions | None = None,
    interval: float | None = None,
    mode: StreamMode | str = StreamMode.RECOMPUTE,
    lookahead: float | None = None,
    final_pass: bool = False,
    end_silence: float | None = None,
    lane: Lane | str | None = None,
) -> transcription_pb2.StreamTranscribeRequest.Config:
    config = _Request.Config(
        pcm=wire_audio.pcm_message(pcm),
        head=head,
        language_code=language,
        options=wire_transcripts.options_message(options or DecodeOptions()),
        lane=audible.lane_number(lane),
        mode=enums.STREAM_MODE[audible.choice(StreamMode, mode, "mode")],
        final_pass=final_pass,
        events=True,
    )
    for name, seconds in (
        ("interval", interval),
        ("lookahead", lookahead),
        ("end_silence", end_silence),
    ):
        if seconds is not None:
            getattr(config, name).CopyFrom(times.duration(seconds))
    return config
