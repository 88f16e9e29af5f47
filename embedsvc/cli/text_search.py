"""`embedsvc search --text`: where a typed text is said."""

import argparse
import math

from embedsvc.cli import connection
from embedsvc.cli.output import emit, printable, say, span_text, table
from embedsvc.errors import InvalidArgument
from embedsvc.types import TextHit, TextMatch

ONLY_SOUND = ("moments", "candidates", "at_most", "explain")
"""Flags that are of searches by audio alone."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What is typed, and how it is compared."""
    parser.add_argument(
        "--text",
        default="",
        metavar="TEXT",
        help="words to look for, in a collection that was made with --texts; with an AUDIO, both",
    )
    parser.add_argument(
        "--language",
        default="",
        metavar="CODE",
        help="of --text, to look for how it sounds; needs espeak-ng where the server runs",
    )
    parser.add_argument(
        "--phones", default="", metavar="IPA", help="""sounds to look for, such as "h a l o" """
    )
    parser.add_argument(
        "--match", choices=list(TextMatch), help="of --text (default: by what is stored)"
    )


def wanted(chosen: argparse.Namespace) -> bool:
    """Whether a text is searched for."""
    if chosen.text or chosen.phones:
        return True
    for flag in ("language", "match"):
        if getattr(chosen, flag):
            raise InvalidArgument(f"`--{flag}` needs --text")
    return False


def run(chosen: argparse.Namespace) -> int:
    """Search and print the hits."""
    for flag in ONLY_SOUND:
        if getattr(chosen, flag):
            raise InvalidArgument(f"`--{flag.replace('_', '-')}` needs a search without --text")
    with connection.connect(chosen) as client:
        found = client.collection(chosen.collection).search_text(
            chosen.text,
            language=chosen.language,
            phones=chosen.phones,
            match=chosen.match,
            audio=chosen.audio,
            top_k=chosen.top_k,
            where=chosen.filter,
            min_score=chosen.min_score,
            one_per_recording=chosen.one_per_recording,
            space=chosen.space,
        )
    for warning in found.warnings:
        say(f"{chosen.audio}: {warning.message}")
    if chosen.json:
        for rank, hit in enumerate(found, 1):
            emit(_described(rank, hit))
        return 0
    rows = [_row(rank, hit) for rank, hit in enumerate(found, 1)]
    columns = ("#>", "score>", "recording", "span", "says", "labels")
    table(f"Where it says {chosen.text or chosen.phones}", columns, rows)
    if found.phones:
        say(f"looked for {' '.join(found.phones)}")
    say(f"{len(found)} hits in {found.timing.total * 1e3:.0f} ms")
    return 0


def _row(rank: int, hit: TextHit) -> tuple[object, ...]:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(hit.metadata.items()))
    span = span_text(hit.span)
    return rank, f"{hit.score:.3f}", hit.id, span, printable(hit.text), labels


def _described(rank: int, hit: TextHit) -> dict[str, object]:
    start, end = hit.span.seconds
    return {
        "rank": rank,
        "id": hit.id,
        "score": hit.score,
        "start_seconds": start,
        "end_seconds": end,
        "text": hit.text,
        "head": hit.head,
        "confidence": None if math.isnan(hit.confidence) else hit.confidence,
        "scores": {
            "words": hit.scores.words,
            "phones": hit.scores.phones,
            "audio": hit.scores.audio,
        },
        "metadata": dict(hit.metadata),
    }
