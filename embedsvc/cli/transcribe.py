"""`embedsvc transcribe`: write down what is said in sound files."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedsvc.cli import batch_transcribe, connection, evaluate_transcription, flags, live
from embedsvc.cli.output import console, emit, printable, progress, say, span_text, table
from embedsvc.cli.segments import described_segment, show_segment
from embedsvc.client import Client, Transcript
from embedsvc.errors import EmbedsvcError
from embedsvc.types import DecodeOptions, HeadKind, HotWord, Word

MOST_BEAM = 64


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser(
        "transcribe",
        help="write down what is said in sound files",
        description="Writes down speech with a CTC head of the model. The one of mini writes "
        "phones (IPA) of any language, and no words. Files may be hours long.",
    )
    parser.add_argument("audio", nargs="+", type=Path, metavar="FILE", help="sound files")
    parser.add_argument("--head", default="", metavar="NAME", help="default: the server's choice")
    parser.add_argument(
        "--language", default="", metavar="CODE", help="choose a head that writes this language"
    )
    parser.add_argument(
        "--words", dest="each", action="store_true", help="each word, when, and how surely"
    )
    parser.add_argument(
        "--beam", type=flags.count, default=1, metavar="N", help="prefix beam search (default: 1)"
    )
    parser.add_argument(
        "--texts", type=flags.count, default=1, metavar="N", help="likeliest texts, up to --beam"
    )
    parser.add_argument(
        "--hot-word",
        action="append",
        default=[],
        metavar="W",
        help="likelier here than elsewhere; may be given again",
    )
    parser.add_argument(
        "--lm-weight", type=float, metavar="X", help="of the head's language model, with --beam"
    )
    parser.add_argument(
        "--word-bonus", type=float, metavar="NATS", help="for each word, with --beam"
    )
    parser.add_argument(
        "--no-language-model", action="store_true", help="what is heard alone, with --beam"
    )
    live.add_flags(parser)
    batch_transcribe.add_flags(parser)
    connection.add_channels(parser)
    connection.add_flags(parser)
    parser.set_defaults(run=run)
    evaluate_transcription.add_calibration(commands)


def run(chosen: argparse.Namespace) -> int:
    """Transcribe each file; those that fail do not stop the others."""
    done = 0
    out = None if chosen.out is None else batch_transcribe.Folder(chosen.out)
    with connection.connect(chosen) as client:
        if chosen.stream:
            return live.run(client, chosen, options(chosen))
        for path, found in _transcripts(client, chosen):
            if isinstance(found, EmbedsvcError):
                say(f"{path}: {found}")
                continue
            done += 1
            for warning in found.warnings:
                say(f"{path}: {warning.message}")
            facts = {"path": str(path), **described(found)}
            if out is not None:
                out.keep(path, facts)
            elif chosen.json:
                emit(facts)
            else:
                _show(path, found, words=chosen.each)
    return 0 if done == len(chosen.audio) else 1


def options(chosen: argparse.Namespace) -> DecodeOptions:
    """How text is to be found; hot words need a beam, and get one."""
    beam = 16 if chosen.hot_word and chosen.beam == 1 else chosen.beam
    hot = tuple(map(HotWord, chosen.hot_word))
    return DecodeOptions(
        beam,
        chosen.texts,
        2 if chosen.each else 0,
        hot,
        chosen.lm_weight,
        chosen.word_bonus,
        chosen.no_language_model,
    )


def _transcripts(
    client: Client, chosen: argparse.Namespace
) -> Iterator[tuple[Path, Transcript | EmbedsvcError]]:
    if chosen.batch:
        yield from batch_transcribe.transcripts(client, chosen, options(chosen))
        return
    with progress() as bar:
        for path in bar.track(chosen.audio, description="transcribing"):
            try:
                found = client.transcribe(
                    path,
                    head=chosen.head,
                    language=chosen.language,
                    options=options(chosen),
                    channels=chosen.channels,
                )
            except EmbedsvcError as error:
                yield path, error
            else:
                yield path, found


def _show(path: Path, found: Transcript, *, words: bool) -> None:
    shown = console()
    unit = "phones" if found.kind is HeadKind.PHONES and not _listed(found) else "words"
    name = printable(path.name)
    shown.print(f"{name}: {found.seconds:.2f} s, {unit} by head {found.head!r}", style="bold")
    for segment in found.segments:
        show_segment(shown, segment)
        for other in segment.others:
            shown.print(f"      or: {other.text}", style="dim")
    if words:
        for segment in found.segments:
            rows = [_row(word) for word in segment.words]
            table(span_text(segment.span), ("what", "when", "confidence>", "or"), rows)


def _listed(found: Transcript) -> bool:
    """Whether phones were read as words of a list."""
    words = [word for segment in found.segments for word in segment.words]
    return any(word.text != "".join(token.text for token in word.tokens) for word in words)


def _row(word: Word) -> tuple[str, str, str, str]:
    others = [each.text for token in word.tokens for each in token.alternatives]
    return word.text, span_text(word.span), f"{word.confidence:.1%}", " ".join(others)


def described(found: Transcript) -> dict[str, Any]:
    """A transcript for JSON."""
    return {
        "seconds": found.seconds,
        "head": found.head,
        "language": found.language,
        "kind": found.kind.value,
        "text": found.text,
        "segments": [described_segment(segment) for segment in found.segments],
        "warnings": [warning.code.value for warning in found.warnings],
    }
