import json
from pathlib import Path

import numpy as np
import pytest

from embedsvc.errors import DataLoss, FailedPrecondition
from embedsvc.training.corpus import CLIPS, FEATURES, MANIFEST, Clip, Corpus, digest, join, line_of


def clip(text: str, frames: int, begin: int = 0) -> Clip:
    return Clip(
        corpus="synthetic",
        synthesizer="espeak-ng",
        language="deu",
        voice="gmw/de",
        group="ntrex:1",
        text=text,
        begin=begin,
        frames=frames,
        phones=("a", "tʰ", ""),
        times=(0, 1, 2, frames),
        manner=(0.5, 0.25, 0.75),
    )


def shard(folder: Path, *clips: Clip) -> Path:
    folder.mkdir()
    frames = sum(each.frames for each in clips)
    features = np.full((frames, 80), len(clips[0].text), "<f2")
    (folder / FEATURES).write_bytes(features.tobytes())
    (folder / CLIPS).write_text("".join(map(line_of, clips)), encoding="utf-8")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shards = [
        shard(tmp_path / "a", clip("ä", 3), clip("b", 4, 3)),
        shard(tmp_path / "b", clip("lång", 5)),
    ]
    out = tmp_path / "out"
    out.mkdir()
    join(shards, out)
    manifest = {"sha256": {CLIPS: digest(out / CLIPS)}}
    (out / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    return out


def test_clips_of_joined_shards_follow_each_other(folder: Path) -> None:
    corpus = Corpus.open(folder)
    assert [(each.text, each.begin) for each in corpus.clips] == [("ä", 0), ("b", 3), ("lång", 7)]
    assert [corpus.log_mel(each).shape for each in corpus.clips] == [(3, 80), (4, 80), (5, 80)]
    assert (corpus.log_mel(corpus.clips[2]) == 4).all()


def test_a_clip_is_read_as_it_was_written(folder: Path) -> None:
    assert Corpus.open(folder).clips[0] == clip("ä", 3)


def test_a_corpus_is_known_by_its_clips(folder: Path) -> None:
    assert Corpus.open(folder).digest == digest(folder / CLIPS)


def test_a_corpus_that_is_not_complete_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    with pytest.raises(FailedPrecondition, match=MANIFEST):
        Corpus.open(folder)


def test_features_of_another_size_are_refused(folder: Path) -> None:
    with (folder / FEATURES).open("ab") as file:
        file.write(b"\0\0")
    with pytest.raises(DataLoss, match=FEATURES):
        Corpus.open(folder)
