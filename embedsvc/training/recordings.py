"""Shards of real speech: only rows that may be trained on and whose license lets a model ship."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedsvc.audio import Door, decode, log_mel
from embedsvc.errors import EmbedsvcError, FailedPrecondition
from embedsvc.timing import SAMPLE_RATE
from embedsvc.training.corpus import Clip
from embedsvc.training.espeak import Espeak
from embedsvc.training.languages import VOWELLESS
from embedsvc.training.reading import read
from embedsvc.training.shards import Job, ShardWriter

LICENSE_CLASSES = frozenset({"permissive", "cc-by-sa"})
INDEX = "index.tsv"
MOST_SAMPLES = 12 * SAMPLE_RATE
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Order:
    """A folder with an index of recordings, its digest, and the version of what makes phones."""

    folder: Path
    index_digest: str
    version: str


def is_trainable(row: dict[str, str]) -> bool:
    """Whether a model that ships may be trained on a row of an index."""
    return row["split"] == "train" and row["licence_class"] in LICENSE_CLASSES


def read_rows(folder: Path) -> Iterator[dict[str, str]]:
    """Rows of a set that may be trained on, in the order of its index."""
    with (folder / INDEX).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        yield from (row for row in rows if is_trainable(row))


def sets(folder: Path) -> list[Path]:
    """Folders of sets with rows to train on; raises `FailedPrecondition` when there is no set."""
    found = sorted(path.parent for path in folder.glob(f"*/{INDEX}"))
    if not found:
        raise FailedPrecondition(
            f"`SPEECH_DIR` must hold sets with an {INDEX}, but {folder} has none",
            field="SPEECH_DIR",
        )
    return [path for path in found if next(read_rows(path), None)]


def make(job: Job, order: Order) -> None:
    """Write the shard of a set."""
    espeak = Espeak()
    with ShardWriter(job) as shard:
        for number, row in enumerate(read_rows(order.folder)):
            if job.is_left_out(number):
                continue
            try:
                audio = decode((order.folder / row["path"]).read_bytes(), Door())
            except (EmbedsvcError, OSError):
                shard.counts["unreadable"] += 1
                continue
            text = said(order.folder.name, row)
            clip = _clip(order.folder.name, row, text, read(espeak, row["language"], text))
            shard.add(clip, log_mel(audio.samples[:MOST_SAMPLES]).astype(np.float16))


def said(name: str, row: dict[str, str]) -> str:
    """Words of a row of set `name`, "" when its columns do not tell them for certain."""
    transcript = row["transcript"].replace("_", " ").strip()
    language = row["language"].partition("-")[0]
    if language in VOWELLESS:
        return ""
    if name == "fsdd":
        return DIGITS[int(row["label"])] if row["label"].isdigit() else ""
    if name == "gcompris_voices":
        is_word = language == "eng" and "/" in row["group"]
        return row["group"].split("/")[-1].replace("_", " ") if is_word else ""
    if name == "curiouslearning":
        return transcript if "sightword" in row["path"] else ""
    if name == "ftm_letters_words":
        return transcript if row["label"] == "word" else ""
    return transcript


def _clip(name: str, row: dict[str, str], text: str, phones: tuple[str, ...]) -> Clip:
    return Clip(
        corpus=name,
        synthesizer="",
        language=row["language"].partition("-")[0],
        voice=row["speaker"],
        group=f"{name}:{row['group']}" if row["group"] else "",
        text=text,
        begin=0,
        frames=0,
        phones=phones,
    )
