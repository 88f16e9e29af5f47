import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from embedsvc.encoder import Encoder, resolve
from embedsvc.training.standardize import NAME, balance, collect, fit, main, read_clips

COLUMNS = ("path", "split", "language", "licence_class")
ROWS = [
    *[(f"a{number}.wav", "train", "eng", "permissive") for number in range(4)],
    *[(f"b{number}.wav", "train", "eng-NG", "cc-by-sa") for number in range(2)],
    *[(f"c{number}.wav", "train", "heb", "permissive") for number in range(3)],
    ("short.wav", "train", "heb", "permissive"),
    ("d.wav", "dev", "heb", "permissive"),
    ("e.wav", "train", "deu", "nc"),
    ("f.wav", "train", "deu", "gpl"),
    ("g.wav", "train", "deu", "unclear"),
    ("h.wav", "train", "deu", ""),
]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """A corpus of noise, with rows that may be used and rows that may not."""
    random = np.random.default_rng(0)
    lines = ["\t".join(COLUMNS), *("\t".join(row) for row in ROWS)]
    path = tmp_path / "index.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, *_ in ROWS:
        count = 100 if name == "short.wav" else int(random.integers(3_000, 9_000))
        noise = random.standard_normal(count) * np.sin(np.arange(count) / random.uniform(2, 90))
        soundfile.write(tmp_path / name, 0.1 * noise, 16_000)
    return path


def test_only_rows_that_may_be_given_away_are_used(index: Path) -> None:
    names = {clip.path.name for clip in read_clips([index])}
    assert names == {row[0] for row in ROWS if row[0][0] in "abcs"}


def test_each_language_of_a_corpus_is_capped(index: Path) -> None:
    clips = read_clips([index], cap=2)
    assert [clip.language for clip in clips] == ["eng"] * 4 + ["heb"] * 2
    lines = index.read_text(encoding="utf-8").splitlines()
    index.write_text("\n".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    assert read_clips([index], cap=2) == clips


def test_every_language_weighs_the_same() -> None:
    weights = balance(["eng", "heb", "eng", "eng"])
    assert weights[1] == weights[[0, 2, 3]].sum() == 0.5


def test_standardized_vectors_have_mean_zero_and_variance_one(index: Path) -> None:
    encoder = Encoder.load(resolve("mini"))
    sample = collect(encoder, read_clips([index]))
    tensors = fit(sample)
    assert sample.skipped == {"AUDIO_TOO_SHORT": 1}
    weights = balance(sample.languages)[:, None]
    for (layer, pooling), vectors in sample.vectors.items():
        path = f"{NAME}/layer{layer}/{pooling}"
        shifted = (np.stack(vectors) - tensors[f"{path}/mean"]) * tensors[f"{path}/scale"]
        np.testing.assert_allclose((weights * shifted).sum(0), 0, atol=1e-3)
        np.testing.assert_allclose((weights * shifted**2).sum(0), 1, atol=1e-3)


def test_the_same_index_gives_the_same_file(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "second"):
        main([str(index), "--model", "mini", "--output", str(tmp_path / name), "--cap", "2"])
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert len(load_file(tmp_path / "first")) == 9 * 3 * 2
    report = json.loads(capsys.readouterr().out.split("\n}\n")[0] + "\n}")
    assert report["languages"]["eng"] == 4


def test_an_index_without_usable_rows_is_refused(index: Path, tmp_path: Path) -> None:
    index.write_text("\t".join(COLUMNS) + "\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        main([str(index), "--model", "mini", "--output", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()
