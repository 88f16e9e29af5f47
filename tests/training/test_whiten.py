import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from embedsvc.encoder import Encoder, resolve
from embedsvc.training.whiten import LAYERS, SHRINKAGE, collect, fit, main, read_clips, whiten
from embedsvc.types import Floats, Pooling

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


def mixed(seed: int, count: int, dim: int) -> Floats:
    """Vectors (count, dim) whose dimensions vary together, and by far."""
    random = np.random.default_rng(seed)
    mixing = random.standard_normal((dim, dim)) * np.geomspace(1, 100, dim)
    return (random.standard_normal((count, dim)) @ mixing + 5).astype(np.float32)


def test_only_rows_that_may_be_given_away_are_used(index: Path) -> None:
    names = {clip.path.name for clip in read_clips([index])}
    assert names == {row[0] for row in ROWS if row[0][0] in "abcs"}


def test_each_language_of_a_corpus_is_capped(index: Path) -> None:
    clips = read_clips([index], cap=2)
    assert [clip.language for clip in clips] == ["eng"] * 4 + ["heb"] * 2
    lines = index.read_text(encoding="utf-8").splitlines()
    index.write_text("\n".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    assert read_clips([index], cap=2) == clips


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 9), st.integers(3, 60), st.integers(2, 12), st.data())
def test_whitened_dimensions_do_not_vary_together(
    seed: int, count: int, dim: int, data: st.DataObject
) -> None:
    kept = data.draw(st.integers(1, dim))
    vectors = mixed(seed, count, dim)
    mean, scale, matrix = whiten(vectors, kept)
    assert matrix.shape == (dim, kept)
    turned = ((vectors.astype(np.float64) - mean) * scale) @ matrix
    covariance = turned.T @ turned / count
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4)
    assert covariance.max() < 1 / (1 - SHRINKAGE)


def test_shrinkage_holds_back_the_dimensions_that_vary_least() -> None:
    vectors = mixed(0, 400, 8)
    mean, scale, matrix = whiten(vectors, 8)
    standard = (vectors - mean) * scale
    variances = np.linalg.eigvalsh(np.cov(standard.T, bias=True))[::-1]
    expected = variances / ((1 - SHRINKAGE) * variances + SHRINKAGE * variances.mean())
    np.testing.assert_allclose((standard @ matrix).var(axis=0), expected, rtol=1e-2)
    assert (np.diff(expected) < 0).all()


def test_a_dimension_that_never_varies_stays_finite() -> None:
    vectors = mixed(1, 30, 4)
    vectors[:, 2] = 7
    assert all(np.isfinite(each).all() for each in whiten(vectors, 4))


def test_the_sign_of_a_component_is_not_left_to_chance() -> None:
    vectors = mixed(2, 50, 6)
    matrix = whiten(vectors, 6)[2]
    np.testing.assert_allclose(whiten(vectors[::-1], 6)[2], matrix, rtol=1e-3, atol=1e-5)
    assert (matrix[np.abs(matrix).argmax(axis=0), range(6)] > 0).all()


def test_means_get_half_the_dimensions_of_means_and_deviations(index: Path) -> None:
    sample = collect(Encoder.load(resolve("mini")), read_clips([index]))
    tensors = fit(sample, 10)
    assert sample.skipped == {"AUDIO_TOO_SHORT": 1}
    assert len(sample.clips) == 9
    assert set(sample.vectors) == {
        (layer, pooling) for layer in LAYERS for pooling in (Pooling.MEAN, Pooling.MEAN_STD)
    }
    assert tensors["whitened/layer5/mean/matrix"].shape == (192, 5)
    assert tensors["whitened/layer5/mean_std/matrix"].shape == (384, 10)


def test_the_same_index_gives_the_same_file(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "second"):
        main([str(index), "--model", "mini", "--output", str(tmp_path / name), "--cap", "2"])
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    assert len(load_file(tmp_path / "first")) == len(LAYERS) * 2 * 3
    report = json.loads(capsys.readouterr().out.split("\n}\n")[0] + "\n}")
    assert report["languages"]["eng"] == 4


@pytest.mark.parametrize("dim", ["1", "385"])
def test_a_dimension_the_model_does_not_have_is_refused(
    index: Path, tmp_path: Path, dim: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(index), "--model", "mini", "--output", str(tmp_path / "none"), "--dim", dim])
    assert f"`--dim` must be from 2 to 384, but is {dim}" in capsys.readouterr().err


def test_an_index_without_usable_rows_is_refused(index: Path, tmp_path: Path) -> None:
    index.write_text("\t".join(COLUMNS) + "\n", encoding="utf-8")
    with pytest.raises(SystemExit):
        main([str(index), "--model", "mini", "--output", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()
