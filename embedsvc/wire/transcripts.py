"""Heads, transcripts and how they are asked for, as messages."""

import math
from collections.abc import Iterable
from dataclasses import asdict

from embedsvc.ctc import low_confidence
from embedsvc.errors import InvalidArgument
from embedsvc.types import (
    DecodeOptions,
    HeadInfo,
    HotWord,
    Hypothesis,
    LanguageModelInfo,
    Token,
    TokenAlternative,
    TranscriptSegment,
    Word,
)
from embedsvc.v1 import transcription_pb2
from embedsvc.wire import enums, times

MOST_BEAM = 64
MOST_ALTERNATIVES = 10
MOST_HOT_WORDS = 100
LONGEST_HOT_WORD = 200
MOST_BOOST = 20.0
MOST_LM_WEIGHT = 10.0
MOST_WORD_BONUS = 20.0
LOW_CONFIDENCE = 0.5


def options(message: transcription_pb2.DecodeOptions, field: str = "options") -> DecodeOptions:
    """How text is to be found, with the defaults for what is absent; raises InvalidArgument."""
    asked = DecodeOptions(
        beam=message.beam or 1,
        texts=message.texts or 1,
        alternatives=message.alternatives,
        hot_words=tuple(
            _hot_word(each, f"{field}.hot_words[{place}]")
            for place, each in enumerate(message.hot_words)
        ),
        lm_weight=message.lm_weight if message.HasField("lm_weight") else None,
        word_bonus=message.word_bonus if message.HasField("word_bonus") else None,
        without_language_model=message.without_language_model,
    )
    _within(f"{field}.beam", asked.beam, 1, MOST_BEAM)
    _within(f"{field}.alternatives", asked.alternatives, 0, MOST_ALTERNATIVES)
    _within(f"{field}.hot_words", len(asked.hot_words), 0, MOST_HOT_WORDS)
    if asked.texts > asked.beam:
        raise InvalidArgument(
            f"`{field}.texts` must be at most the beam, {asked.beam}, but is {asked.texts}",
            field=f"{field}.texts",
        )
    if asked.hot_words and asked.beam == 1:
        raise InvalidArgument(
            f"`{field}.hot_words` must come with a `beam` of 2 or more, but it is {asked.beam}",
            field=f"{field}.hot_words",
        )
    _check_model(asked, field)
    return asked


def _check_model(asked: DecodeOptions, field: str) -> None:
    limits = {
        "lm_weight": (asked.lm_weight, 0.0, MOST_LM_WEIGHT),
        "word_bonus": (asked.word_bonus, -MOST_WORD_BONUS, MOST_WORD_BONUS),
    }
    for name, (value, least, most) in limits.items():
        if value is None:
            continue
        path = f"{field}.{name}"
        if not least <= value <= most:
            raise InvalidArgument(
                f"`{path}` must be {least:g} to {most:g}, but is {value:g}", field=path
            )
        if asked.beam == 1:
            raise InvalidArgument(
                f"`{path}` must come with a `beam` of 2 or more, but it is 1", field=path
            )
        if asked.without_language_model:
            raise InvalidArgument(
                f"`{path}` must be absent with `without_language_model`, but is {value:g}",
                field=path,
            )


def threshold(
    message: transcription_pb2.DecodeOptions, field: str = "options.low_confidence"
) -> float:
    """The confidence below which a word is doubtful."""
    if not message.HasField("low_confidence"):
        return LOW_CONFIDENCE
    value = message.low_confidence
    if not 0 <= value <= 1:
        raise InvalidArgument(f"`{field}` must be 0 to 1, but is {value:g}", field=field)
    return float(value)


def options_message(
    options: DecodeOptions, below: float | None = None
) -> transcription_pb2.DecodeOptions:
    """How text is to be found, as a message."""
    return transcription_pb2.DecodeOptions(
        beam=options.beam,
        texts=options.texts,
        alternatives=options.alternatives,
        hot_words=[
            transcription_pb2.HotWord(text=each.text, boost=each.boost)
            for each in options.hot_words
        ],
        low_confidence=below,
        lm_weight=options.lm_weight,
        word_bonus=options.word_bonus,
        without_language_model=options.without_language_model,
    )


def head_message(info: HeadInfo) -> transcription_pb2.Head:
    """A head as it is listed, as a message."""
    model = info.language_model
    return transcription_pb2.Head(
        name=info.name,
        kind=enums.HEAD_KIND[info.kind],
        languages=info.languages,
        labels=info.labels,
        frame=times.duration(info.frame_seconds),
        calibration=info.calibration,
        license=info.license,
        figures=info.figures,
        model=info.model,
        language_model=None if model is None else transcription_pb2.LanguageModel(**asdict(model)),
    )


def head(message: transcription_pb2.Head) -> HeadInfo:
    """A head as it is listed, from its message."""
    return HeadInfo(
        name=message.name,
        kind=enums.ours(enums.HEAD_KIND, message.kind, "kind"),
        languages=tuple(message.languages),
        labels=message.labels,
        frame_seconds=times.seconds(message.frame),
        calibration=message.calibration,
        license=message.license,
        figures=dict(message.figures),
        model=message.model,
        language_model=_language_model(message) if message.HasField("language_model") else None,
    )


def _language_model(message: transcription_pb2.Head) -> LanguageModelInfo:
    model = message.language_model
    return LanguageModelInfo(
        name=model.name,
        words=model.words,
        closed=model.closed,
        weight=model.weight,
        word_bonus=model.word_bonus,
        missing=model.missing,
    )


def segment_message(
    segment: TranscriptSegment, below: float = LOW_CONFIDENCE, *, words: bool = True
) -> transcription_pb2.TranscriptSegment:
    """A segment, and where its confidence is `below`, as a message."""
    return transcription_pb2.TranscriptSegment(
        text=segment.text,
        span=times.span_message(segment.span),
        confidence=segment.confidence,
        confidence_method=segment.method,
        words=map(word_message, segment.words) if words else (),
        alternatives=[
            transcription_pb2.Hypothesis(text=each.text, score=each.score)
            for each in segment.others
        ],
        low_confidence=map(times.span_message, low_confidence(segment, below)),
    )


def segment(message: transcription_pb2.TranscriptSegment) -> TranscriptSegment:
    """A segment from its message."""
    return TranscriptSegment(
        text=message.text,
        span=times.span(message.span, "span"),
        confidence=_confidence(message),
        method=message.confidence_method,
        words=tuple(map(word, message.words)),
        others=tuple(Hypothesis(each.text, each.score) for each in message.alternatives),
    )


def segments(
    messages: Iterable[transcription_pb2.TranscriptSegment],
) -> tuple[TranscriptSegment, ...]:
    """Segments from their messages."""
    return tuple(map(segment, messages))


def word_message(word: Word) -> transcription_pb2.Word:
    """A word and its tokens, as a message."""
    return transcription_pb2.Word(
        text=word.text,
        span=times.span_message(word.span),
        confidence=word.confidence,
        tokens=map(_token_message, word.tokens),
    )


def word(message: transcription_pb2.Word) -> Word:
    """A word from its message."""
    span = times.span(message.span, "span")
    return Word(message.text, span, _confidence(message), tuple(map(_token, message.tokens)))


def _token_message(token: Token) -> transcription_pb2.Token:
    return transcription_pb2.Token(
        text=token.text,
        span=times.span_message(token.span),
        confidence=token.confidence,
        log_prob=token.log_prob,
        entropy=token.entropy,
        alternatives=[
            transcription_pb2.TokenAlternative(text=each.text, probability=each.probability)
            for each in token.alternatives
        ],
    )


def _token(message: transcription_pb2.Token) -> Token:
    return Token(
        text=message.text,
        span=times.span(message.span, "span"),
        confidence=_confidence(message),
        log_prob=message.log_prob,
        entropy=message.entropy,
        alternatives=tuple(
            TokenAlternative(each.text, each.probability) for each in message.alternatives
        ),
    )


def _confidence(
    message: transcription_pb2.Token | transcription_pb2.Word | transcription_pb2.TranscriptSegment,
) -> float:
    """NaN where the method gives none."""
    return message.confidence if message.HasField("confidence") else math.nan


def _hot_word(message: transcription_pb2.HotWord, field: str) -> HotWord:
    text = message.text.strip()
    if not 1 <= len(text) <= LONGEST_HOT_WORD:
        raise InvalidArgument(
            f"`{field}.text` must have 1 to {LONGEST_HOT_WORD} characters, but has {len(text)}",
            field=f"{field}.text",
        )
    if not message.HasField("boost"):
        return HotWord(text)
    if not 0 < message.boost <= MOST_BOOST:
        raise InvalidArgument(
            f"`{field}.boost` must be above 0, up to {MOST_BOOST:g}, but is {message.boost:g}",
            field=f"{field}.boost",
        )
    return HotWord(text, message.boost)


def _within(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidArgument(f"`{field}` must be {least} to {most}, but is {value}", field=field)
