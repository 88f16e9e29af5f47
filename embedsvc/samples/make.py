"""Make the clips of this folder anew, from `sentences.tsv`, with espeak-ng.

`python -m embedsvc.samples.make` writes `clips/` and `index.tsv`. One version of espeak-ng
and of libopus gives the same bytes each time.
"""

import csv
import io
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from embedsvc.errors import FailedPrecondition
from embedsvc.samples.synthesizer import Voice, require, speak
from embedsvc.timing import SAMPLE_RATE

FOLDER = Path(__file__).parent
COMPRESSION = 0.948
"""Of libsndfile's Opus writer, from 256 kbit/s at 0 to 6 kbit/s at 1: about 19 kbit/s."""

COLUMNS = (
    "path", "language", "name", "group", "role", "voice", "seconds", "text", "translation",
)  # fmt: skip

ARCHIVE_VOICES = (
    Voice("m1", 176, 40),
    Voice("f2", 184, 55),
    Voice("m3", 190, 48),
    Voice("f1", 178, 50),
    Voice("m7", 182, 35),
    Voice("f4", 188, 60),
    Voice("m4", 180, 52),
)
QUERY_VOICES = (Voice("f3", 168, 66), Voice("m2", 196, 30))
QUERIES = {
    "eng": ("news", "trip"),
    "spa": ("music", "weather"),
    "deu": ("food", "news"),
    "pol": ("trip", "music"),
    "tur": ("weather", "food"),
    "ind": ("news", "music"),
}
"""Groups that are said once more, by language, for searching with another voice."""


@dataclass(frozen=True)
class Sentence:
    """What is said; `synthesizer` is espeak-ng's name of the language."""

    language: str
    name: str
    synthesizer: str
    group: str
    text: str
    translation: str


def main() -> None:
    """Write all clips and their index into this folder."""
    try:
        make(FOLDER)
    except FailedPrecondition as error:
        sys.exit(error.message)


def make(folder: Path) -> None:
    """Replace `clips/` and `index.tsv` of `folder`.

    Raises `FailedPrecondition` when espeak-ng is not installed.
    """
    require()
    shutil.rmtree(folder / "clips", ignore_errors=True)
    (folder / "clips").mkdir(parents=True)
    with (folder / "index.tsv").open("w", encoding="utf-8", newline="") as file:
        index = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE)
        index.writerow(COLUMNS)
        for sentence, role, voice in plan(sentences()):
            samples = speak(sentence.text, sentence.synthesizer, voice)
            path = f"clips/{sentence.language}-{sentence.group}-{voice.variant}.opus"
            (folder / path).write_bytes(encode(samples))
            seconds = f"{len(samples) / SAMPLE_RATE:.3f}"
            index.writerow([
                path, sentence.language, sentence.name, sentence.group, role, voice.variant,
                seconds, sentence.text, sentence.translation,
            ])  # fmt: skip


def sentences() -> tuple[Sentence, ...]:
    """Every sentence of `sentences.tsv`, in its order."""
    with (FOLDER / "sentences.tsv").open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return tuple(Sentence(**row) for row in rows)


def plan(said: tuple[Sentence, ...]) -> Iterator[tuple[Sentence, str, Voice]]:
    """Each sentence with its role and voice: all for the archive, then the queries."""
    for place, sentence in enumerate(said):
        yield sentence, "archive", ARCHIVE_VOICES[place % len(ARCHIVE_VOICES)]
    asked = [item for item in said if item.group in QUERIES.get(item.language, ())]
    for place, sentence in enumerate(asked):
        yield sentence, "query", QUERY_VOICES[place % len(QUERY_VOICES)]


def encode(samples: NDArray[np.float32]) -> bytes:
    """Ogg Opus of a waveform (N,); equal samples give equal bytes."""
    file = io.BytesIO()
    soundfile.write(
        file, samples, SAMPLE_RATE, format="OGG", subtype="OPUS", compression_level=COMPRESSION
    )
    return b"".join(_numbered(page) for page in _pages(file.getvalue()))


def _pages(data: bytes) -> Iterator[bytes]:
    """Each page of an Ogg file (RFC 3533, section 6)."""
    start = 0
    while start < len(data):
        segments = data[start + 26]
        lengths = data[start + 27 : start + 27 + segments]
        end = start + 27 + segments + sum(lengths)
        yield data[start:end]
        start = end


def _numbered(page: bytes) -> bytes:
    """Put stream number 1 for libsndfile's random one, and the checksum for that."""
    blank = page[:14] + (1).to_bytes(4, "little") + page[18:22] + bytes(4) + page[26:]
    return blank[:22] + _checksum(blank).to_bytes(4, "little") + blank[26:]


def _checksum(page: bytes) -> int:
    """CRC-32 of a page: polynomial 0x04c11db7, not reflected, from 0 (RFC 3533, section 6)."""
    register = 0
    for byte in page:
        register = (register << 8 & 0xFFFFFFFF) ^ _REMAINDERS[register >> 24 ^ byte]
    return register


def _remainder(register: int) -> int:
    for _ in range(8):
        register = (register << 1) ^ (0x104C11DB7 if register & 0x80000000 else 0)
    return register


_REMAINDERS = tuple(_remainder(byte << 24) for byte in range(256))


if __name__ == "__main__":
    main()
