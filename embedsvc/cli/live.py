"""`embedsvc transcribe --stream`: sound files replayed as if they were spoken now."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from embedsvc.cli.output import console, emit, say, span_text
from embedsvc.client import Client, FinalText, InterimText
from embedsvc.errors import EmbedsvcError
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import DecodeOptions, Floats, PcmFormat, SampleFormat

CHUNK = SAMPLE_RATE // 10
"""Samples that are sent at once: as much as a telephone has of latency anyway."""

PCM = PcmFormat(SampleFormat.F32, SAMPLE_RATE)


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
    found = client.transcribe_stream(
        chunks(samples, chosen.pace),
        PCM,
        head=chosen.head,
        language=chosen.language,
        options=options,
    )
    for each in found:
        if chosen.json:
            _emit(path, each)
        else:
            _show(each)


def _emit(path: Path, told: InterimText | FinalText) -> None:
    start, end = told.heard.seconds
    where = {"path": str(path), "start_seconds": start, "end_seconds": end}
    if isinstance(told, FinalText):
        emit({**where, "final": True, "text": told.text})
    else:
        emit({**where, "final": False, "stable": told.stable, "unstable": told.unstable})


def _show(told: InterimText | FinalText) -> None:
    """Text that may change goes to the terminal alone, on one line that is written again."""
    if isinstance(told, FinalText):
        if sys.stderr.isatty():
            print(end="\r\x1b[K", file=sys.stderr, flush=True)
        if told.text:
            console().print(f"{span_text(told.heard)}  {told.text}")
    elif sys.stderr.isatty():
        text = f"\x1b[1m{told.stable[-50:]}\x1b[0m \x1b[2m{told.unstable[-50:]}\x1b[0m"
        print(end=f"\r\x1b[K{text}", file=sys.stderr, flush=True)
