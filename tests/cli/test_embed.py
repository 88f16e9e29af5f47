import json
from pathlib import Path

import numpy as np
import pytest

from embedsvc.encoder import Encoder, resolve
from embedsvc.timing import frame_count
from embedsvc.types import OutputSpec, Windowing
from tests.cli.program import Program, objects


def test_vectors_come_as_one_object_for_each_file(
    program: Program, target: str, folder: Path
) -> None:
    paths = [folder / "a.wav", folder / "b.wav"]
    ended = program("embed", *paths, "--target", target, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    first, second = objects(ended)
    assert [first["path"], second["path"]] == list(map(str, paths))
    assert first["shape"] == [first["space"]["dim"]] == [len(first["values"])]
    assert np.linalg.norm(first["values"]) == pytest.approx(1.0, abs=1e-4)
    assert first["space"] == second["space"]
    assert first["digest"] != second["digest"]
    assert first["frames"] == frame_count(round(first["seconds"] * 16_000))


def test_without_a_server_the_service_runs_here(
    program: Program, main: Program, target: str, folder: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    (here,) = objects(program("embed", folder / "a.wav", "--json", TMPDIR=str(temporary)))
    (there,) = objects(main("embed", folder / "a.wav", "--json", "--target", target))
    assert here["space"] == there["space"]
    np.testing.assert_allclose(here["values"], there["values"], atol=2e-5)
    assert not list(temporary.iterdir())


def default_dim() -> int:
    """Dimensions of a vector when nothing else is asked for."""
    return Encoder.load(resolve("mini")).plan(OutputSpec(), Windowing()).space.dim


def test_people_get_a_table(main: Program, target: str, folder: Path) -> None:
    ended = main("embed", folder / "a.wav", "--target", target)
    assert ended.returncode == 0
    assert "a.wav" in ended.stdout
    assert str(default_dim()) in ended.stdout
    assert ended.stderr.startswith("space ")


def test_frames_of_a_layer_go_to_a_file_that_needs_no_pickle(
    program: Program, target: str, folder: Path, tmp_path: Path
) -> None:
    paths = [folder / "a.wav", folder / "b.wav"]
    asked = ("--layer", 6, "--pooling", "none", "--output", tmp_path / "frames.npz", "--json")
    ended = program("embed", *paths, "--target", target, *asked)
    assert ended.returncode == 0
    described = objects(ended)
    assert all("values" not in each for each in described)
    with np.load(tmp_path / "frames.npz", allow_pickle=False) as stored:
        assert list(stored["paths"]) == list(map(str, paths))
        space = json.loads(str(stored["space"]))
        counts = np.diff(stored["offsets"])
        assert [[count, space["dim"]] for count in counts] == [each["shape"] for each in described]
        assert stored["frames"].shape == (counts.sum(), space["dim"])
        assert stored["frames"].dtype == np.float16
    assert (space["layer"], space["pooling"]) == (6, "none")
    assert [path.name for path in tmp_path.iterdir()] == ["frames.npz"]


def test_vectors_go_to_a_file_as_one_matrix(
    main: Program, target: str, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "vectors.npz"
    ended = main("embed", *folder.glob("*.wav"), "--target", target, "--output", output)
    assert ended.returncode == 0
    assert f"wrote 2 to {output}" in ended.stderr
    with np.load(output, allow_pickle=False) as stored:
        assert stored["vectors"].shape == (2, default_dim())


def test_bad_files_are_named_and_the_others_done(
    program: Program, target: str, mixed: Path, tmp_path: Path
) -> None:
    paths = [*sorted(mixed.iterdir()), tmp_path / "nowhere.wav"]
    ended = program("embed", *paths, "--target", target, "--json")
    assert ended.returncode == 1
    assert [Path(each["path"]).name for each in objects(ended)] == ["a.wav", "b.wav"]
    for name in ("empty.wav", "noise.flac", "nowhere.wav"):
        assert f"{name}: " in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("asked", "code", "told"),
    [
        (("--layer", "99"), 1, "layer"),
        (("--layer", "six"), 2, "--layer"),
        (("--pooling", "best"), 2, "--pooling"),
        (("--output", "/nowhere/x.npz"), 1, "`--output`"),
    ],
)
def test_what_cannot_be_done_is_said(
    main: Program, target: str, folder: Path, asked: tuple[str, ...], code: int, told: str
) -> None:
    ended = main("embed", folder / "a.wav", "--target", target, *asked)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_profile_stands_for_layer_pooling_and_projection(
    main: Program, target: str, clip: Path
) -> None:
    words = ("embed", clip, "--target", target, "--json")
    (named,) = objects(main(*words, "--profile", "speaker"))
    space = named["space"]
    chosen = ("--layer", space["layer"], "--pooling", space["pooling"])
    (spelled,) = objects(main(*words, *chosen, "--projection", "speaker"))
    assert spelled == named
    both = main(*words, "--profile", "speaker", "--layer", 1)
    assert both.returncode == 1
    assert "`layer` must be absent beside profile 'speaker'" in both.stderr
    unknown = main(*words, "--profile", "taste")
    assert "(there are: `language`, `phonetic`, `semantic`, `speaker`)" in unknown.stderr
