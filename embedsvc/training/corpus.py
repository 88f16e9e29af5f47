"""A feature corpus: what a model trains on, in one folder.

features.f16     log-mel (frames, 80) at 100 Hz of all clips, float16, little-endian
clips.jsonl      one clip a line, in the order of their features
manifest.json    what it was made from, counts, and digests of the two; written last
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import DataLoss, FailedPrecondition

FEATURES, CLIPS, MANIFEST = "features.f16", "clips.jsonl", "manifest.json"
BINS = 80
FRAME_BYTES = BINS * 2
_BLOCK = 1 << 24
_SEQUENCES = ("phones", "times", "manner")


@dataclass(frozen=True)
class Clip:
    """An utterance of a corpus; `begin` and `frames` say which log-mel frames are its own.

    `corpus` is "synthetic" or the name of a set of real speech, `synthesizer` is "" for a person,
    `language` an ISO 639-3 code without region, and clips of one `group` say the same. `times` are
    frames from `begin` where each phone begins, then where the last ends; a pause is a phone "".
    Both are empty when unknown; `phones` may be known without times. `manner` is how fast, high and
    lively a synthesizer was told to speak, each from 0 to 1; empty when it was not.
    """

    corpus: str
    synthesizer: str
    language: str
    voice: str
    group: str
    text: str
    begin: int
    frames: int
    phones: tuple[str, ...] = ()
    times: tuple[int, ...] = ()
    manner: tuple[float, ...] = ()


@dataclass(frozen=True)
class Corpus:
    """Clips, and the log-mel of each out of a mapped file."""

    clips: tuple[Clip, ...]
    digest: str
    manifest: dict[str, Any]
    features: NDArray[np.float16]

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """The corpus of a folder; raises when it is not complete, or of another size."""
        if not (folder / MANIFEST).is_file():
            raise FailedPrecondition(
                f"`corpus` must be a folder with {MANIFEST}, but {folder} has none", field="corpus"
            )
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        clips = tuple(read_clips(folder / CLIPS))
        size = (folder / FEATURES).stat().st_size
        expected = sum(clip.frames for clip in clips) * FRAME_BYTES
        if size != expected:
            raise DataLoss(f"`{FEATURES}` must have {expected} bytes, but has {size}")
        features = np.memmap(folder / FEATURES, "<f2", "c", shape=(size // FRAME_BYTES, BINS))
        return cls(clips, manifest["sha256"][CLIPS], manifest, features)

    def log_mel(self, clip: Clip) -> NDArray[np.float16]:
        """Log-mel (frames, 80) of a clip, a view of the file."""
        return self.features[clip.begin : clip.begin + clip.frames]


def read_clips(path: Path) -> Iterator[Clip]:
    """Clips of a file, in its order."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield Clip(**row | {name: tuple(row.get(name, ())) for name in _SEQUENCES})


def line_of(clip: Clip) -> str:
    """The line of a clip."""
    return json.dumps(asdict(clip), ensure_ascii=False, separators=(",", ":")) + "\n"


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def join(shards: Iterable[Path], out: Path) -> None:
    """Write features and clips of shards one after the other, with the frames counted anew."""
    begin = 0
    with (
        (out / FEATURES).open("wb") as features,
        (out / CLIPS).open("w", encoding="utf-8") as clips,
    ):
        for shard in shards:
            with (shard / FEATURES).open("rb") as file:
                while block := file.read(_BLOCK):
                    features.write(block)
            for clip in read_clips(shard / CLIPS):
                clips.write(line_of(Clip(**{**vars(clip), "begin": begin})))
                begin += clip.frames
