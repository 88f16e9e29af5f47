"""From a table of parallel speech to a projection that a server loads."""

import json
from pathlib import Path

import numpy as np
import pytest

from embedsvc.samples import clips
from tests.cli.program import Program, objects

COLUMNS = ("path", "split", "language", "speaker", "label", "seconds", "group")


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Clips that each say the same in two languages: they are twice there."""
    rows = ["\t".join(COLUMNS)]
    for number, clip in enumerate(clips()[:26]):
        for language in ("eng", "deu"):
            name = f"{language}-{number}.opus"
            (tmp_path / name).symlink_to(clip.path)
            split = "train" if number < 24 else "dev"
            row = (name, split, language, clip.voice, "", f"{clip.seconds:g}", f"g{number}")
            rows.append("\t".join(row))
    path = tmp_path / "index.tsv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def quick() -> list[object]:
    return ["--steps", 20, "--views", 1, "--threads", 1, "--layer", 2, "--pooling", "mean"]


def test_a_projection_is_learned_and_can_be_asked_for(
    main: Program, index: Path, quick: list[object], tmp_path: Path
) -> None:
    out, report = tmp_path / "mine.safetensors", tmp_path / "report.json"
    words = ("align", "train", index, "--out", out, "--name", "mine", "--report", report, "--json")
    ended = main(*words, "--dim", 7, *quick)
    assert ended.returncode == 0, ended.stderr
    *checks, last = objects(ended)
    assert [check["kind"] for check in checks] == ["check"]
    assert last["counts"]["clips"] + last["counts"]["clips_kept_back"] == 48
    assert json.loads(report.read_text()) == {
        name: value for name, value in last.items() if name != "kind"
    }
    assert "--projections" in ended.stderr
    clip = clips()[0].path
    asked = ("embed", clip, "--layer", 2, "--pooling", "mean", "--projection", "mine", "--json")
    (vector,) = objects(main(*asked, "--projections", out))
    assert vector["shape"] == [7]
    assert vector["space"]["projection"].startswith("mine:")
    without = main(*asked)
    assert "must be one the model has" in without.stderr


def test_people_get_a_table_and_what_was_heard_is_kept(
    main: Program, index: Path, quick: list[object], tmp_path: Path
) -> None:
    out, cache = tmp_path / "mine.safetensors", tmp_path / "cache"
    words = ("align", "train", index, "--out", out, "--cache", cache, *quick)
    first = main(*words)
    assert first.returncode == 0, first.stderr
    assert "R@1 of groups kept back" in first.stdout
    assert "step 20: loss" in first.stderr
    before = out.read_bytes()
    again = main(*words)
    assert again.stdout == first.stdout
    assert out.read_bytes() == before
    assert len(list(cache.iterdir())) == 1


def test_vectors_of_texts_can_teach(
    main: Program, index: Path, quick: list[object], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    means = random.standard_normal((26, 11)).astype(np.float32)
    texts = {f"{language}-{n}.opus": means[n] for n in range(26) for language in ("eng", "deu")}
    np.savez(tmp_path / "texts.npz", **texts)
    out = tmp_path / "taught.safetensors"
    words = ("align", "train", index, "--out", out, *quick)
    ended = main(*words, "--texts", tmp_path / "texts.npz")
    assert ended.returncode == 0, ended.stderr
    del texts["eng-3.opus"]
    np.savez(tmp_path / "texts.npz", **texts)
    lacking = main(*words, "--texts", tmp_path / "texts.npz")
    assert lacking.returncode == 1
    assert "has none for eng-3.opus" in lacking.stderr
    no_file = main(*words, "--texts", index)
    assert "must be an .npz" in no_file.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", 'split = "test"'), "must have rows that meet --only"),
        (("--only", 'split = "dev"'), "at least 20 groups"),
        (("--name", "Not A Name"), "`--name` must be lower-case"),
        (("--layer", "99"), "`layer` must be"),
        (("--report", "/nowhere/at/all.json"), "folder that exists"),
    ],
)
def test_what_can_not_be_done_is_refused(
    main: Program, index: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "none.safetensors"
    quick = ("--steps", 5, "--views", 1, "--threads", 1)
    ended = main("align", "train", index, "--out", out, *quick, *words)
    assert ended.returncode == 1
    assert said in ended.stderr
    assert not out.exists()


def test_any_speech_can_be_whitened(main: Program, index: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    flags = ("--name", "mine", "--layer", 1, "--dim", 9, "--views", 2, "--threads", 1, "--json")
    ended = main("align", "whiten", index, "--out", out, *flags)
    assert ended.returncode == 0, ended.stderr
    assert objects(ended) == [{"kind": "whitened", "clips": 48, "views": 2}]
    asked = ("embed", clips()[0].path, "--layer", 1, "--projection", "mine", "--json")
    (vector,) = objects(main(*asked, "--projections", out))
    assert vector["shape"] == [9]
