"""`embedsvc search`: the moments nearest to a sound file, or where a text is said."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from embedsvc import filters
from embedsvc.cli import connection, text_search
from embedsvc.cli.output import emit, say, span_text, table
from embedsvc.client import SearchResult
from embedsvc.errors import InvalidArgument
from embedsvc.filters import Filter
from embedsvc.types import Hit, LanguageGuess, Limit, MomentMethod, MomentSearch


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("search", help="search a collection by audio, or by text")
    parser.add_argument("collection", metavar="COLLECTION")
    parser.add_argument(
        "audio", type=Path, nargs="?", metavar="AUDIO", help="what to look for (or --text)"
    )
    text_search.add_flags(parser)
    parser.add_argument("--top-k", type=int, default=10, metavar="K", help="hits (default: 10)")
    parser.add_argument(
        "--filter",
        type=condition,
        metavar="EXPR",
        help="""only where this holds: language = "pol" and not (year < 1990)""",
    )
    parser.add_argument("--min-score", type=float, metavar="S", help="leave out lower scores")
    parser.add_argument(
        "--one-per-recording", action="store_true", help="only the best of each recording"
    )
    parser.add_argument(
        "--at-most",
        type=_limit,
        metavar="N:FIELD",
        help="no more than N hits with one value of a field, such as 2:language",
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="show cosines and guessed languages from before the collection's transform",
    )
    parser.add_argument(
        "--moments",
        nargs="?",
        const=MomentMethod.ALIGNMENT,
        choices=list(MomentMethod),
        help="say when it is heard, in a collection that was made with --moments",
    )
    parser.add_argument(
        "--candidates",
        type=int,
        metavar="N",
        help="with --moments: look only into the N nearest segments (default: everywhere)",
    )
    parser.add_argument(
        "--space", default="", metavar="NAME", help="of several (default: the first)"
    )
    connection.add_flags(parser)
    parser.set_defaults(run=run, misused=parser.error)


def condition(text: str) -> Filter:
    """A filter flag; argparse tells what is wrong with it."""
    try:
        return filters.parse(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _limit(text: str) -> Limit:
    count, _, field = text.partition(":")
    if not count.isdecimal() or not field:
        raise argparse.ArgumentTypeError(f"must be N:FIELD, but is {text}")
    return Limit(field, int(count))


def run(chosen: argparse.Namespace) -> int:
    """Search and print the hits."""
    if text_search.wanted(chosen):
        return text_search.run(chosen)
    if chosen.audio is None:
        chosen.misused("one of AUDIO, --text and --phones is required")
    with connection.connect(chosen) as client:
        found = client.collection(chosen.collection).search(
            chosen.audio,
            top_k=chosen.top_k,
            where=chosen.filter,
            min_score=chosen.min_score,
            one_per_recording=chosen.one_per_recording,
            moments=_moments(chosen),
            at_most=chosen.at_most,
            explain=chosen.explain,
            space=chosen.space,
        )
    for warning in found.warnings:
        say(f"{chosen.audio}: {warning.message}")
    if chosen.json:
        for rank, hit in enumerate(found, 1):
            emit(_described(rank, hit))
        return 0
    columns = (
        "#>",
        "score>",
        "recording",
        "span",
        *(["of query"] if chosen.moments else []),
        *(["stored>", "sounds like"] if chosen.explain else []),
        "labels",
    )
    rows = [_row(rank, hit, moments=bool(chosen.moments)) for rank, hit in enumerate(found, 1)]
    table(f"Nearest to {chosen.audio.name}", columns, rows)
    if found.query_languages:
        say(f"the query sounds like {_languages(found.query_languages)}")
    say(f"{_done(found)} in {found.timing.total * 1e3:.0f} ms")
    return 0


def _done(found: SearchResult) -> str:
    """What was looked at: segments, codes of frames, or both."""
    segments = f"{found.scanned:,} segments scored{'' if found.exact else ' approximately'}"
    codes = f"{found.scanned_codes:,} codes compared"
    if not found.scanned_codes:
        return segments
    return f"{segments}, {codes}" if found.scanned else codes


def _moments(chosen: argparse.Namespace) -> MomentSearch | bool:
    if not chosen.moments:
        if chosen.candidates is not None:
            raise InvalidArgument("`--candidates` needs --moments")
        return False
    return MomentSearch(MomentMethod(chosen.moments), chosen.candidates)


def _row(rank: int, hit: Hit, *, moments: bool) -> tuple[object, ...]:
    score = hit.score if hit.moment_score is None else hit.moment_score
    part = "" if hit.query_span is None else span_text(hit.query_span)
    why = hit.explanation
    return (
        *(rank, f"{score:.3f}", hit.id, span_text(hit.span)),
        *([part] if moments else []),
        *([f"{why.stored_cosine:.3f}", _languages(why.languages[:1])] if why else []),
        labels(hit),
    )


def _languages(guesses: Sequence[LanguageGuess]) -> str:
    return ", ".join(f"{each.language} {each.probability:.0%}" for each in guesses)


def labels(hit: Hit) -> str:
    """Metadata in one line."""
    return ", ".join(f"{name}={value}" for name, value in sorted(hit.metadata.items()))


def _described(rank: int, hit: Hit) -> dict[str, object]:
    start, end = hit.span.seconds
    described: dict[str, object] = {
        "rank": rank,
        "id": hit.id,
        "score": hit.score,
        "start_seconds": start,
        "end_seconds": end,
        "metadata": dict(hit.metadata),
    }
    if hit.query_span is not None:
        described["moment_score"] = hit.moment_score
        described["query_start_seconds"], described["query_end_seconds"] = hit.query_span.seconds
    if hit.explanation is not None:
        described["explanation"] = asdict(hit.explanation)
    return described
