"""`embedsvc classify`: ask probes about sound files."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from embedsvc.cli import connection, flags
from embedsvc.cli.output import emit, progress, say, span_text, table
from embedsvc.client import Classified, Client
from embedsvc.errors import EmbedsvcError, FailedPrecondition
from embedsvc.timing import to_samples
from embedsvc.types import AnsweredSpan, ProbeAnswer, Timeline

MOST_PROBES = 16


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser(
        "classify",
        help="ask probes about sound files",
        description="Asks probes, such as one of languages, about each file. With --timeline it "
        "says when which answer holds; a file may be hours long.",
    )
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO", help="sound files")
    parser.add_argument(
        "--probe",
        nargs="+",
        default=[],
        metavar="NAME",
        help="NAME or NAME@VERSION (default: all that read what this model makes)",
    )
    parser.add_argument("--timeline", action="store_true", help="answer piece by piece too")
    parser.add_argument(
        "--window", type=flags.positive, default=3.0, metavar="S", help="of a piece (default: 3)"
    )
    parser.add_argument(
        "--hop", type=flags.positive, metavar="S", help="between pieces (default: half a window)"
    )
    parser.add_argument(
        "--agree",
        type=flags.count,
        default=2,
        metavar="N",
        help="pieces that must agree before the answer changes (default: 2)",
    )
    parser.add_argument(
        "--top-n", type=flags.count, default=3, metavar="N", help="likeliest labels (default: 3)"
    )
    connection.add_channels(parser)
    connection.add_flags(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Classify each file; those that fail do not stop the others."""
    done: list[tuple[Path, Classified]] = []
    with connection.connect(chosen) as client:
        probes = chosen.probe or usable(client)
        for path, found in _answers(client, chosen, probes):
            if isinstance(found, EmbedsvcError):
                say(f"{path}: {found}")
                continue
            done.append((path, found))
            for warning in found.warnings:
                say(f"{path}: {warning.message}")
            if chosen.json:
                emit(_described(path, found))
    if not chosen.json and done:
        _show(done)
    return 0 if len(done) == len(chosen.audio) else 1


def usable(client: Client) -> list[str]:
    """The probes that read what the server's model makes; raises when there is none."""
    weights = client.info().weights
    names = [
        info.name
        for info in client.probes.list()
        if all(space.weights == weights for space in info.spaces)
    ]
    if not names:
        raise FailedPrecondition(
            "there is no probe for this model yet: `embedsvc probe train` makes one"
        )
    return names[:MOST_PROBES]


def _answers(
    client: Client, chosen: argparse.Namespace, probes: Sequence[str]
) -> Iterator[tuple[Path, Classified | EmbedsvcError]]:
    timeline = _timeline(chosen)
    with progress() as bar:
        for path in bar.track(chosen.audio, description="classifying"):
            try:
                found = client.classify(
                    path,
                    probes,
                    timeline=timeline,
                    top_n=chosen.top_n,
                    channels=chosen.channels,
                )
            except EmbedsvcError as error:
                yield path, error
            else:
                yield path, found


def _timeline(chosen: argparse.Namespace) -> Timeline | None:
    if not chosen.timeline:
        return None
    window = to_samples(chosen.window)
    hop = to_samples(chosen.hop) if chosen.hop else window // 2
    return Timeline(window, hop, chosen.agree)


def _show(done: Sequence[tuple[Path, Classified]]) -> None:
    rows = [
        (path.name, f"{found.seconds:.2f}", each.probe, *row(each))
        for path, found in done
        for each in found.answers
    ]
    table("Answers", ("file", "seconds>", "probe", *COLUMNS), rows)
    for path, found in done:
        for name, spans in found.timelines.items():
            shown = [(span_text(each.span), *row(each.answer)) for each in spans]
            table(f"{path.name}: {name}", ("span", *COLUMNS), shown)


COLUMNS = ("answer", "likeliest", "true label is one of")


def answer_text(answer: ProbeAnswer) -> str:
    """An answer in a few words."""
    said = answer.classification
    if said.unknown is not None:
        return f"unknown: {said.unknown.replace('_', ' ')}"
    if said.value is not None:
        return f"{said.value:.4g}"
    return ", ".join(said.labels) or "none"


def row(answer: ProbeAnswer) -> tuple[str, ...]:
    """An answer for a table: what it is, how likely, and the prediction set."""
    said = answer.classification
    told = answer_text(answer)
    if said.interval is not None:
        return told, "", f"{said.interval[0]:.4g} to {said.interval[1]:.4g}"
    likely = ", ".join(f"{each.label} {each.probability:.0%}" for each in said.scores)
    several = len(said.prediction_set)
    held = ", ".join(said.prediction_set) if several <= 6 else f"{several} labels"
    return told, likely, held


def _described(path: Path, found: Classified) -> dict[str, Any]:
    described: dict[str, Any] = {
        "path": str(path),
        "seconds": found.seconds,
        "answers": [described_answer(each) for each in found.answers],
        "warnings": [warning.code.value for warning in found.warnings],
    }
    if found.timelines:
        described["timelines"] = {
            name: [_described_span(each) for each in spans]
            for name, spans in found.timelines.items()
        }
    return described


def _described_span(each: AnsweredSpan) -> dict[str, Any]:
    start, end = each.span.seconds
    return {"start_seconds": start, "end_seconds": end, **described_answer(each.answer)}


def described_answer(answer: ProbeAnswer) -> dict[str, Any]:
    """An answer for JSON."""
    said = answer.classification
    described: dict[str, Any] = {
        "probe": answer.probe,
        "version": answer.version,
        "labels": list(said.labels),
        "unknown": said.unknown,
        "scores": {each.label: each.probability for each in said.scores},
        "prediction_set": list(said.prediction_set),
        "belonging": said.evidence.belonging,
        "speech_seconds": answer.speech_seconds,
    }
    if said.value is not None:
        described["value"] = said.value
        described["interval"] = said.interval
    return described
