"""Probes, their recipes and their answers as messages."""

import math
from collections.abc import Iterable
from dataclasses import replace

from embedsvc.errors import InvalidArgument
from embedsvc.timing import FRAME, SAMPLE_RATE, to_seconds
from embedsvc.types import (
    AnsweredSpan,
    Classification,
    Evidence,
    LabelScore,
    ProbeAnswer,
    ProbeInfo,
    ProbeRecipe,
    Timeline,
)
from embedsvc.v1 import classification_pb2, probe_pb2
from embedsvc.wire import enums, spaces, times

TOP_N = 5
MOST_PROBES = 16
MIN_WINDOW, MAX_WINDOW = SAMPLE_RATE // 2, 60 * SAMPLE_RATE
MIN_HOP = SAMPLE_RATE // 10
MOST_AGREE = 100
MOST_STRENGTHS = 16
CALIBRATIONS = ("temperature", "isotonic")


def names(given: Iterable[str], field: str = "probes", *, least: int = 1) -> tuple[str, ...]:
    """The probes of a request: some, not too many, and none twice."""
    found = tuple(given)
    if not least <= len(found) <= MOST_PROBES:
        raise InvalidArgument(
            f"`{field}` must be {least} to {MOST_PROBES} names, but are {len(found)}", field=field
        )
    if len(set(found)) < len(found):
        raise InvalidArgument(f"`{field}` must be named once each, but one is not", field=field)
    return found


def timeline(message: probe_pb2.Timeline, field: str = "timeline") -> Timeline:
    """How to answer piece by piece, with the defaults for what is absent."""
    default = Timeline()
    window = (
        times.samples(message.window, f"{field}.window")
        if message.HasField("window")
        else default.window
    )
    _within(f"{field}.window", window, MIN_WINDOW, MAX_WINDOW)
    hop = (
        times.samples(message.hop, f"{field}.hop")
        if message.HasField("hop")
        else _usual_hop(window)
    )
    _within(f"{field}.hop", hop, MIN_HOP, window)
    if hop % FRAME:
        _fault(f"{field}.hop", "be a multiple of 0.02 s", f"{to_seconds(hop):g} s")
    if window % hop:
        _fault(f"{field}.window", "be a multiple of `hop`", f"{to_seconds(window):g} s")
    agree = message.agree or default.agree
    if agree > MOST_AGREE:
        _fault(f"{field}.agree", f"be at most {MOST_AGREE}", str(agree))
    return Timeline(window, hop, agree)


def timeline_message(timeline: Timeline) -> probe_pb2.Timeline:
    """How to answer piece by piece, as a message."""
    return probe_pb2.Timeline(
        window=times.sample_duration(timeline.window),
        hop=times.sample_duration(timeline.hop),
        agree=timeline.agree,
    )


def answer_message(answer: ProbeAnswer, top_n: int = 0) -> classification_pb2.Classification:
    """What a probe says, with its likeliest labels."""
    said = answer.classification
    message = classification_pb2.Classification(
        probe=answer.probe,
        version=answer.version,
        labels=said.labels,
        unknown=enums.UNKNOWN[said.unknown]
        if said.unknown
        else classification_pb2.UNKNOWN_REASON_UNSPECIFIED,
        scores=[
            classification_pb2.LabelScore(label=each.label, probability=each.probability)
            for each in said.scores[: top_n or TOP_N]
        ],
        prediction_set=said.prediction_set,
        evidence=classification_pb2.Evidence(
            logit=said.evidence.logit,
            energy=said.evidence.energy,
            distance=said.evidence.distance,
            belonging=said.evidence.belonging,
        ),
        value=said.value,
        speech_seconds=answer.speech_seconds,
    )
    if said.interval is not None:
        message.interval_low, message.interval_high = said.interval
    return message


def answer(message: classification_pb2.Classification) -> ProbeAnswer:
    """What a probe says, from its message."""
    evidence = message.evidence
    said = Classification(
        labels=tuple(message.labels),
        scores=tuple(LabelScore(each.label, each.probability) for each in message.scores),
        prediction_set=tuple(message.prediction_set),
        evidence=Evidence(evidence.logit, evidence.energy, evidence.distance, evidence.belonging),
        unknown=enums.ours(enums.UNKNOWN, message.unknown, "unknown") if message.unknown else None,
        value=message.value if message.HasField("value") else None,
        interval=(message.interval_low, message.interval_high)
        if message.HasField("interval_low")
        else None,
    )
    return ProbeAnswer(message.probe, message.version, said, message.speech_seconds)


def timeline_answer_message(
    probe: str, spans: Iterable[AnsweredSpan], top_n: int
) -> probe_pb2.ProbeTimeline:
    """The answers of one probe over time, as a message."""
    return probe_pb2.ProbeTimeline(
        probe=probe,
        spans=[
            classification_pb2.ClassifiedSpan(
                span=times.span_message(each.span),
                classification=answer_message(each.answer, top_n),
            )
            for each in spans
        ],
    )


def answered_spans(message: probe_pb2.ProbeTimeline) -> tuple[AnsweredSpan, ...]:
    """The answers of one probe over time."""
    return tuple(
        AnsweredSpan(times.span(each.span, "span"), answer(each.classification))
        for each in message.spans
    )


def info_message(info: ProbeInfo, *, bundled: bool = False) -> probe_pb2.Probe:
    """A probe as it is listed, as a message."""
    return probe_pb2.Probe(
        name=info.name,
        version=info.version,
        task=enums.PROBE_TASK[info.task],
        labels=info.labels,
        spaces=map(spaces.space_message, info.spaces),
        create_time=times.timestamp(info.created_at),
        digest=info.digest,
        alpha=info.alpha,
        min_speech=times.duration(info.min_speech_seconds),
        figures=info.figures,
        report=info.report,
        license=info.license,
        about=info.about,
        bundled=bundled,
    )


def info(message: probe_pb2.Probe) -> ProbeInfo:
    """A probe as it is listed, from its message."""
    return ProbeInfo(
        name=message.name,
        version=message.version,
        task=enums.ours(enums.PROBE_TASK, message.task, "task"),
        labels=tuple(message.labels),
        spaces=tuple(map(spaces.space, message.spaces)),
        created_at=times.epoch_seconds(message.create_time),
        digest=message.digest,
        alpha=message.alpha,
        min_speech_seconds=times.seconds(message.min_speech),
        figures=dict(message.figures),
        report=message.report,
        license=message.license,
        about=message.about,
    )


def recipe(message: probe_pb2.ProbeRecipe, field: str = "recipe") -> ProbeRecipe:
    """How to train, with the service's choice for what is absent; raises InvalidArgument."""
    usual = ProbeRecipe()
    asked = ProbeRecipe(
        task=enums.ours(enums.PROBE_TASK, message.task, f"{field}.task")
        if message.task
        else usual.task,
        strengths=tuple(message.strengths) or usual.strengths,
        folds=message.folds or usual.folds,
        balanced=message.balanced if message.HasField("balanced") else usual.balanced,
        mix_layers=message.mix_layers,
        calibration=message.calibration or usual.calibration,
        alpha=message.alpha or usual.alpha,
        false_unknowns=message.false_unknowns or usual.false_unknowns,
        test_share=message.test_share or usual.test_share,
        seed=message.seed or usual.seed,
    )
    if message.HasField("min_speech"):
        asked = replace(asked, min_speech_seconds=times.seconds(message.min_speech))
    return _checked(asked, field)


def recipe_message(recipe: ProbeRecipe) -> probe_pb2.ProbeRecipe:
    """How to train, as a message."""
    return probe_pb2.ProbeRecipe(
        task=enums.PROBE_TASK[recipe.task],
        strengths=recipe.strengths,
        folds=recipe.folds,
        balanced=recipe.balanced,
        mix_layers=recipe.mix_layers,
        calibration=recipe.calibration,
        alpha=recipe.alpha,
        false_unknowns=recipe.false_unknowns,
        min_speech=times.duration(recipe.min_speech_seconds),
        test_share=recipe.test_share,
        seed=recipe.seed,
    )


def _usual_hop(window: int) -> int:
    """Half a window, or the next part of it that is whole frames.

    >>> _usual_hop(48_000), _usual_hop(24_000), _usual_hop(24_001)
    (24000, 8000, 24001)
    """
    parts = range(2, window // MIN_HOP + 1)
    return next((window // n for n in parts if window % (n * FRAME) == 0), window)


def _checked(recipe: ProbeRecipe, field: str) -> ProbeRecipe:
    strengths = recipe.strengths
    sound = all(math.isfinite(each) and each > 0 for each in strengths)
    if not sound or len(strengths) > MOST_STRENGTHS:
        _fault(f"{field}.strengths", f"be up to {MOST_STRENGTHS}, above 0", str(list(strengths)))
    if recipe.calibration not in CALIBRATIONS:
        given = repr(recipe.calibration[:80])
        _fault(f"{field}.calibration", f"be one of {', '.join(CALIBRATIONS)}", given)
    for name, value, least, most in (
        ("folds", recipe.folds, 2, 20),
        ("alpha", recipe.alpha, 0.001, 0.5),
        ("false_unknowns", recipe.false_unknowns, 0.001, 0.5),
        ("min_speech", recipe.min_speech_seconds, 0.0, 60.0),
        ("test_share", recipe.test_share, 0.05, 0.5),
        ("seed", recipe.seed, 0, 2**32 - 1),
    ):
        if not least <= value <= most:
            _fault(f"{field}.{name}", f"be {least:g} to {most:g}", f"{value:g}")
    return recipe


def _within(field: str, samples: int, least: int, most: int) -> None:
    if not least <= samples <= most:
        rule = f"be {to_seconds(least):g} s to {to_seconds(most):g} s"
        _fault(field, rule, f"{to_seconds(samples):g} s")


def _fault(field: str, rule: str, given: str) -> None:
    raise InvalidArgument(f"`{field}` must {rule}, but is {given}", field=field)
