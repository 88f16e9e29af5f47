"""`embedsvc transcribe --stream`: sound files replayed as if they were spoken now."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from embedsvc.cli import flags
from embedsvc.cli.output import console, emit, printable, say
from embedsvc.cli.segments import UNSURE, described_segment, described_word, show_segment
from embedsvc.client import (
    Client,
    FinalText,
    InterimText,
    SpeechEvent,
    StreamEnd,
    StreamProgress,
)
from embedsvc.client.transcripts import LiveAnswer
from embedsvc.errors import EmbedsvcError
from embedsvc.timing import SAMPLE_RATE, to_seconds
from embedsvc.types import DecodeOptions, Floats, PcmFormat, SampleFormat, StreamMode

CHUNK = SAMPLE_RATE // 10
"""Samples that are sent at once: as much as a telephone has of latency anyway."""

PCM = PcmFormat(SampleFormat.F32, SAMPLE_RATE)

_PATIENCE = 30.0
"""Seconds for which a server may be away."""

_WIDTH = 60
"""Characters of stable text on a terminal, of which the last are shown."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """How files are replayed and heard."""
    parser.add_argument(
        "--stream", action="store_true", help="replay the files live, and show text as it comes"
    )
    parser.add_argument(
        "--pace",
        type=flags.positive,
        default=1.0,
        metavar="X",
        help="of --stream, as a multiple of real time (default: 1)",
    )
    parser.add_argument(
        "--mode",
        choices=list(StreamMode),
        default=StreamMode.RECOMPUTE,
        help="of --stream: hear a stretch again and again, or each moment once",
    )
    for name, meaning in (
        ("interval", "of --stream, how often it is heard (default: 1; lookahead: 0.4)"),
        ("lookahead", "of --mode lookahead, what is heard behind a label (default: 0.4)"),
        ("end-silence", "of --stream, the quiet that ends a stretch (default: 0.5)"),
    ):
        parser.add_argument(f"--{name}", type=flags.positive, metavar="S", help=meaning)
    parser.add_argument(
        "--final-pass",
        action="store_true",
        help="of --mode lookahead: hear each stretch once more when it is over",
    )


def run(client: Client, chosen: argparse.Namespace, options: DecodeOptions) -> int:
    """Replay each file; those that fail do not stop the others."""
    done = 0
    for path in chosen.audio:
        try:
            _replay(client, path, chosen, options)
        except (EmbedsvcError, OSError) as error:
            say(f"{path}: {error}")
        else:
            done += 1
    return 0 if done == len(chosen.audio) else 1


def chunks(samples: Floats, pace: float = 1.0) -> Iterator[bytes]:
    """Samples (N,) as PCM, each chunk when its last sample would have been spoken."""
    started = time.monotonic()
    for place in range(0, len(samples), CHUNK):
        end = min(place + CHUNK, len(samples))
        time.sleep(max(0.0, started + end / SAMPLE_RATE / pace - time.monotonic()))
        yield np.asarray(samples[place:end], "<f4").tobytes()


def _replay(client: Client, path: Path, chosen: argparse.Namespace, options: DecodeOptions) -> None:
    # Imported here: whoever only asks a server decodes nothing.
    from embedsvc.audio import Door, decode
    from embedsvc.types import ChannelPolicy

    samples = decode(path.read_bytes(), Door(ChannelPolicy(chosen.channels))).samples
    found = client.transcribe_live(
        chunks(samples, chosen.pace),
        PCM,
        head=chosen.head,
        language=chosen.language,
        options=options,
        mode=chosen.mode,
        interval=chosen.interval,
        lookahead=chosen.lookahead,
        end_silence=chosen.end_silence,
        final_pass=chosen.final_pass,
        resume_seconds=_PATIENCE,
    )
    for each in found:
        if chosen.json:
            emit({"path": str(path), **_described(each)})
        else:
            _show(each)


def _described(told: LiveAnswer) -> dict[str, Any]:
    """What is told, for JSON; `final` says what interims and finals are, as it always did."""
    match told:
        case InterimText():
            start, end = told.heard.seconds
            return {
                "start_seconds": start,
                "end_seconds": end,
                "final": False,
                "stable": told.stable,
                "unstable": told.unstable,
                "words": [described_word(word) for word in told.words],
            }
        case FinalText():
            start, end = told.heard.seconds
            return {
                "start_seconds": start,
                "end_seconds": end,
                "final": True,
                "text": told.text,
                "segments": [described_segment(segment) for segment in told.segments],
            }
        case SpeechEvent():
            return {"event": told.kind.value, "seconds": told.seconds}
        case StreamProgress():
            return {"heard_until_seconds": to_seconds(told.heard_until)}
        case StreamEnd():
            facts = {"head": told.head, "kind": told.kind.value, "seconds": told.seconds}
            warnings = [warning.code.value for warning in told.warnings]
            work = {"frames": told.frames, "compute_seconds": told.timing.compute}
            return {"end": {**facts, **work, "warnings": warnings}}


def _show(told: LiveAnswer) -> None:
    """Text that may change goes to the terminal alone, on one line that is written again."""
    if isinstance(told, FinalText):
        if sys.stderr.isatty():
            print(end="\r\x1b[K", file=sys.stderr, flush=True)
        for segment in told.segments:
            show_segment(console(), segment)
    elif isinstance(told, InterimText) and sys.stderr.isatty():
        stable = _marked(told)
        text = f"{stable} \x1b[2m{told.unstable[-50:]}\x1b[0m"
        print(end=f"\r\x1b[K{text}", file=sys.stderr, flush=True)


def _marked(told: InterimText) -> str:
    """The end of what is stable, with doubtful words in yellow."""
    shown, width = [], 0
    for word in reversed(told.words):
        width += len(word.text) + 1
        if width > _WIDTH:
            break
        color = "33" if word.confidence < UNSURE else "1"
        shown.append(f"\x1b[{color}m{printable(word.text)}\x1b[0m")
    return " ".join(reversed(shown))
