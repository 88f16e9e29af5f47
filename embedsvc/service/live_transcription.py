"""What one live stream asks for, and how it is answered."""

from typing import Any

from embedsvc.errors import InvalidArgument
from embedsvc.pipeline import resuming
from embedsvc.pipeline.live_steps import (
    Final,
    Interim,
    LiveSpeech,
    Plan,
    Progress,
    SpeechEvent,
    Told,
)
from embedsvc.pipeline.live_transcriber import LiveTranscriber
from embedsvc.pipeline.resuming import Place
from embedsvc.pipeline.transcriber import Ended, Task
from embedsvc.service.style import Style
from embedsvc.types import StreamMode
from embedsvc.wire import audio, enums, live, times

TOKEN = "config.resume_token"
ADVICE = "; a new call with the last `resume_token` goes on where it was"
"""To whoever fell silent."""


class Stream:
    """A stream with that config; raises InvalidArgument for one that cannot be."""

    def __init__(self, config: live.Config, task: Task, style: Style) -> None:
        self._config = config
        self._task = task
        self._style = style
        self.plan = Plan(
            live.mode(config),
            live.interval(config),
            live.lookahead(config),
            live.end_silence(config),
            live.final_pass(config),
        )
        stays = self.plan.mode is StreamMode.LOOKAHEAD and not self.plan.final_pass
        if stays and task.options.beam > 1:
            raise InvalidArgument(
                "`config.options.beam` must be 1 in STREAM_MODE_LOOKAHEAD without a `final_pass`, "
                f"for what is told stays, but is {task.options.beam}",
                field="config.options.beam",
            )
        if self.plan.mode is StreamMode.LOOKAHEAD and task.head.body.of_samples:
            raise InvalidArgument(
                "`config.mode` must be STREAM_MODE_RECOMPUTE for a head that reads samples, whose "
                f"level it sets by all it hears, but {task.head.info.name!r} is one",
                field="config.mode",
            )
        if not config.HasField("pcm"):
            raise InvalidArgument("`config.pcm` must be set", field="config.pcm")
        given = live.resume_token(config, TOKEN)
        # The numbers in a token are of this plan and this head alone.
        self._made_for = f"{task.head.info.name} {self.plan}".encode()
        self._place = resuming.place_of(given, self._made_for, TOKEN) if given else None

    def opened(self, transcriber: LiveTranscriber) -> LiveSpeech:
        """The stream, to be heard."""
        form = audio.pcm_format(self._config.pcm, "config.pcm")
        policy = audio.channel_policy(self._config.channel_policy, "config.channel_policy")
        return transcriber.live(form, policy, self._task, self.plan, self._place)

    def response(self, told: Told | Ended) -> live.Response | None:
        """What is told, as a message; nothing for what was not asked for."""
        if isinstance(told, Final):
            return self._final(told)
        if isinstance(told, Interim):
            words = self._style.words
            if self._config.omit_interim:
                return None
            return live.interim(told.stable, told.unstable, told.heard, words=words)
        return self._event(told) if self._config.events else None

    def _event(self, told: SpeechEvent | Progress | Ended) -> live.Response:
        match told:
            case SpeechEvent(kind, at):
                return live.event(kind, at)
            case Progress(at, place):
                progress = live.Response.Progress(heard_until=times.sample_duration(at))
                return live.Response(progress=self._resuming(progress, place))
            case Ended():
                return self._end(told)

    def _final(self, told: Final) -> live.Response:
        final = live.Response.Final(
            segments=map(self._style.message, told.segments),
            heard=times.span_message(told.heard),
        )
        return live.Response(final=self._resuming(final, told.place))

    def _resuming(self, message: Any, place: Place) -> Any:
        message.resume_token = resuming.token(place, self._made_for)
        message.resume_from.CopyFrom(times.sample_duration(place.sent))
        return message

    def _end(self, ended: Ended) -> live.Response:
        return live.Response(
            end=live.Response.End(
                warnings=audio.warning_messages(ended.warnings),
                usage=audio.usage_message(ended.samples, ended.frames),
                timing=times.timing_message(ended.timing),
                head=self._task.head.info.name,
                kind=enums.HEAD_KIND[self._task.head.info.kind],
                language_code=self._task.language,
            )
        )
