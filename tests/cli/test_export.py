"""`embedsvc embed --output`, through the real program."""

import json
import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from embedsvc import Client, Segmentation
from embedsvc.client.features import FeatureFile, load_features
from embedsvc.feature_files import Spool
from embedsvc.samples import clips
from tests.cli.program import Program, command, objects
from tests.feature_files import made


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out" / "features.npz"


@pytest.fixture(autouse=True)
def _place(output: Path) -> None:
    output.parent.mkdir()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seventy sentences."""
    made = tmp_path_factory.mktemp("corpus")
    for place, clip in enumerate(clips()[:70]):
        (made / f"{place:02d}.opus").symlink_to(clip.path)
    return made


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Over a minute of speech, too large to go with others."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    spoken = [soundfile.read(clip.path)[0] for clip in clips()[:18]]
    soundfile.write(path, np.concatenate(spoken), 16_000, subtype="FLOAT")
    return path


def names(file: FeatureFile) -> list[str]:
    return [Path(str(path)).name for path in file.paths]


def test_columns_of_the_table_stand_beside_the_vectors(
    main: Program, target: str, folder: Path, output: Path, tmp_path: Path
) -> None:
    table = tmp_path / "rows.tsv"
    table.write_text(
        "path\tlanguage\tyear\nmore/c.wav\tfra\t2010\na.wav\teng\t1990\ngone.wav\tdeu\t1\n"
    )
    ended = main("embed", folder, "--target", target, "--metadata", table, "--output", output)
    assert ended.returncode == 0
    assert "1 files have no row in rows.tsv" in ended.stderr
    assert "1 rows of rows.tsv have no file here: gone.wav" in ended.stderr
    file = load_features(output)
    assert names(file) == ["a.wav", "b.wav", "c.wav"]
    assert file.ids.tolist() == ["a.wav", "b.wav", "more/c.wav"]
    assert file.labels("language").tolist() == ["eng", "", "fra"]
    np.testing.assert_array_equal(file.labels("year"), [1990, np.nan, 2010])
    assert file.groups("language").tolist() == [0, 1, 2]
    with Client(target) as client:
        for place, path in enumerate(file.paths):
            alone = client.embed(str(path))
            np.testing.assert_allclose(file.rows()[place], alone.vector, atol=2e-5)
            assert file.seconds[place] == alone.seconds
            assert file.arrays["digests"][place] == alone.digest
            assert file.space() == alone.space
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_files_come_in_the_order_given_and_each_once(
    main: Program, target: str, folder: Path, output: Path
) -> None:
    given = (folder / "b.wav", folder, folder / "more" / "c.wav")
    ended = main("embed", *given, "--target", target, "--output", output)
    assert "2 files were given twice, and are taken once" in ended.stderr
    assert names(load_features(output)) == ["b.wav", "a.wav", "c.wav"]


def test_a_file_that_fails_is_told_and_left_out(
    main: Program, target: str, mixed: Path, output: Path
) -> None:
    given = (mixed, mixed / "nowhere.wav")
    ended = main("embed", *given, "--target", target, "--output", output, "--json")
    assert ended.returncode == 1
    assert [Path(each["path"]).name for each in objects(ended)] == ["a.wav", "b.wav"]
    file = load_features(output)
    assert names(file) == ["a.wav", "b.wav"]
    failed = {Path(path).name: reason for path, reason in file.failures.items()}
    assert failed.keys() == {"empty.wav", "noise.flac", "nowhere.wav"}
    for name, reason in failed.items():
        assert f"{name}: {reason}" in ended.stderr
    assert "2 embedded, 3 failed" in ended.stderr


def test_nothing_is_written_when_nothing_could_be_embedded(
    main: Program, target: str, mixed: Path, output: Path, tmp_path: Path
) -> None:
    none = tmp_path / "none"
    none.mkdir()
    empty = main("embed", none, "--target", target, "--output", output)
    assert (empty.returncode, empty.stderr) == (1, "no sound files found\n")
    asked = ("embed", mixed / "empty.wav", "--target", target, "--output", output)
    assert main(*asked).returncode == 1
    assert not list(output.parent.iterdir())


def test_segments_are_those_of_a_collection(
    main: Program, target: str, long: Path, output: Path
) -> None:
    asked = ("embed", long, "--target", target, "--segments", 6, "--hop", 2, "--output", output)
    assert main(*asked).returncode == 0
    file = load_features(output)
    with Client(target) as client:
        cut = Segmentation(6 * 16_000, 2 * 16_000)
        collection = client.create_collection("segments-as-rows", segmentation=cut)
        collection.add("long", long)
        stored = collection.segments("long")
        client.delete_collection("segments-as-rows")
    assert file.spans is not None
    assert file.spans.tolist() == [list(segment.span.seconds) for segment in stored]
    np.testing.assert_allclose(file.rows(), [each.vector for each in stored], atol=1e-3)


def test_layers_come_from_one_pass(main: Program, target: str, folder: Path, output: Path) -> None:
    asked = ("--layers", "2,-1", "--pooling", "mean", "--projection", "")
    main("embed", folder, "--target", target, *asked, "--output", output)
    file = load_features(output)
    assert file.outputs == ("layer_2", "layer_6")
    assert [file.space(name).layer for name in file.outputs] == [2, 6]
    assert file.rows("layer_2").shape == file.rows("layer_6").shape == (3, 192)
    assert not np.allclose(file.rows("layer_2"), file.rows("layer_6"))


def test_several_profiles_are_several_arrays(
    main: Program, target: str, folder: Path, output: Path
) -> None:
    asked = ("--profile", "speaker,semantic", "--dtype", "float16")
    main("embed", folder / "a.wav", "--target", target, *asked, "--output", output)
    file = load_features(output)
    assert file.outputs == ("speaker", "semantic")
    assert file.rows("speaker").dtype == np.float16


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_frames_of_a_long_file_come_window_by_window(
    main: Program, target: str, folder: Path, long: Path, output: Path, dtype: str
) -> None:
    asked = ("--layer", 4, "--pooling", "none", "--dtype", dtype, "--output", output, "--json")
    ended = main("embed", folder / "a.wav", long, folder / "b.wav", "--target", target, *asked)
    assert ended.returncode == 0
    file = load_features(output)
    assert names(file) == ["a.wav", "long.wav", "b.wav"]
    assert [each["shape"][0] for each in objects(ended)] == np.diff(file.offsets).tolist()
    assert file.rows().dtype == dtype
    with Client(target) as client:
        whole = client.embed(long, layer=4, pooling="none")
    assert file.seconds[1] == pytest.approx(whole.seconds)
    np.testing.assert_allclose(file.recording(1), whole.vector, atol=5e-3, rtol=1e-2)


def test_a_run_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(
    program: Program,
    environment: dict[str, str],
    target: str,
    corpus: Path,
    output: Path,
    tmp_path: Path,
) -> None:
    asked = ("embed", corpus, "--target", target, "--output", output)
    partial = output.with_name(f".{output.name}.partial")
    with subprocess.Popen(command(*asked), stderr=subprocess.DEVNULL, env=environment) as running:
        rows = partial / "rows-0"
        while not (rows.exists() and rows.stat().st_size):
            assert running.poll() is None
            time.sleep(0.01)
        running.kill()
    assert not output.exists()
    ended = program(*asked)
    assert ended.returncode == 0, ended.stderr
    whole = tmp_path / "whole.npz"
    assert program("embed", corpus, "--target", target, "--output", whole).returncode == 0
    resumed, straight = load_features(output), load_features(whole)
    assert names(resumed) == sorted(path.name for path in corpus.iterdir())
    np.testing.assert_allclose(resumed.rows(), straight.rows(), atol=2e-5)
    assert not partial.exists()


def test_a_disk_that_is_full_is_said(
    program: Program, environment: dict[str, str], target: str, folder: Path, output: Path
) -> None:
    limit = 2_000  # room for the flags, and not for three vectors
    asked = ("embed", folder, "--target", target, "--output", output)
    full = subprocess.run(
        command(*asked),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert full.returncode == 1
    assert "`--output` must have room beside it" in full.stderr
    assert "Traceback" not in full.stderr
    assert not list(output.parent.iterdir())
    assert program(*asked).returncode == 0
    assert names(load_features(output)) == ["a.wav", "b.wav", "c.wav"]


def test_what_was_begun_with_other_flags_is_kept_until_it_is_to_begin_anew(
    main: Program, target: str, folder: Path, output: Path
) -> None:
    with Spool(output.with_name(f".{output.name}.partial"), {"layer": 3}, made.facts()) as spool:
        made.fill(spool, [2, 1])
    asked = ("embed", folder, "--target", target, "--output", output)
    other = main(*asked)
    assert other.returncode == 1
    assert "was begun with other flags; --restart begins anew" in other.stderr
    again = main(*asked, "--restart")
    assert again.returncode == 0, again.stderr
    assert names(load_features(output)) == ["a.wav", "b.wav", "c.wav"]


def test_ctrl_c_leaves_what_the_next_run_goes_on_with(
    program: Program, environment: dict[str, str], target: str, corpus: Path, output: Path
) -> None:
    asked = ("embed", corpus, "--target", target, "--output", output)
    with subprocess.Popen(
        command(*asked), stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        rows = output.with_name(f".{output.name}.partial") / "rows-0"
        while not rows.exists():
            assert running.poll() is None
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        assert running.stderr is not None
        told = running.stderr.read()
        assert running.wait(20) == 130
    assert "Traceback" not in told
    assert not output.exists()
    assert program(*asked).returncode == 0
    assert len(load_features(output).paths) == 70


def test_a_name_that_is_not_utf_8_is_a_name(
    program: Program, target: str, folder: Path, output: Path, tmp_path: Path
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.wav")
    odd.write_bytes((folder / "a.wav").read_bytes())
    utf_8 = {"PYTHONUTF8": "1"}
    asked = ("embed", odd, "--target", target)
    ended = program(*asked, "--output", output, "--json", **utf_8)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["path"] == str(odd)
    assert load_features(output).paths.tolist() == [str(odd)]
    shown = program(*asked, **utf_8)
    assert (shown.returncode, "caf\\xe9.wav" in shown.stdout) == (0, True)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--output", "x.csv"), "`--output` must be .npz or .parquet, but is x.csv"),
        (("--segments", "6"), "`--segments` must be beside `--output`"),
        (("--layers", "9", "--output", "x.npz"), "`--layers` must be `all`, or numbers up to 6"),
        (("--hop", "6", "--output", "x.npz"), "`--hop` must be beside `--segments`"),
        (("--segments", "600", "--output", "x.npz"), "segment_length` must be 1 s to 60 s"),
        (
            ("--segments", "6", "--pooling", "none", "--output", "x.npz"),
            "`--segments` must be of vectors",
        ),
        (("--layer", "99", "--output", "x.npz"), "layer"),
        (("--metadata", "no.tsv", "--output", "x.npz"), "`--metadata` must be a readable"),
    ],
)
def test_what_cannot_be_asked_is_said_at_once(
    main: Program,
    target: str,
    folder: Path,
    asked: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = main("embed", folder / "a.wav", "--target", target, *asked)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert told in ended.stderr
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".x", "x"))]


def test_a_server_that_is_gone_stops_the_run_and_fails_no_file(
    main: Program, folder: Path, output: Path
) -> None:
    ended = main("embed", folder, "--target", "localhost:1", "--output", output)
    assert ended.returncode == 1
    assert "no server answers" in ended.stderr
    assert not list(output.parent.iterdir())
