"""`embedsvc probe` and `embedsvc classify`, by the program."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from embedsvc.samples import clips
from tests.cli.program import Ended, Program, objects
from tests.service import probing

QUICK = ("--strengths", "0.1", "--folds", "2")
LANGUAGES = {"deu", "eng", "fra"}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences in three languages, and their table; one file is no sound, one is not there."""
    folder = tmp_path_factory.mktemp("spoken")
    rows = ["path\tlanguage\tvoice"]
    for clip in clips():
        if clip.language in LANGUAGES:
            shutil.copy(clip.path, folder / clip.path.name)
            rows.append(f"{clip.path.name}\t{clip.language}\t{clip.voice}")
    (folder / "noise.wav").write_bytes(b"no sound")
    rows += ["noise.wav\tdeu\tf1", "nowhere.wav\tdeu\tf1", "unlabelled.wav\t\tf1"]
    (folder / "index.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(program: Program, spoken: Path, target: str) -> Ended:
    asked = ("--speech", spoken, "--label", "language", "--group", "voice", "--layers", "3,5")
    flags = ("--pooling", "mean", "--mix-layers", "--license", "CC0-1.0", *QUICK)
    return program("probe", "train", "language", *asked, *flags, "--target", target, "--json")


def test_a_probe_is_trained_on_a_folder_of_speech(trained: Ended) -> None:
    assert trained.returncode == 0, trained.stderr
    (told,) = objects(trained)
    assert (told["name"], told["version"]) == ("language", 1)
    assert told["labels"] == sorted(LANGUAGES)
    assert [space["layer"] for space in told["spaces"]] == [3, 5]
    assert told["license"] == "CC0-1.0"
    # What cepstra alone would do, and guessing, stand beside.
    assert {"baseline_accuracy", "chance", "majority", "unknown_background"} <= set(told["figures"])
    assert "noise.wav: " in trained.stderr
    assert "nowhere.wav: " in trained.stderr


def test_files_are_classified(main: Program, trained: Ended, spoken: Path, target: str) -> None:
    files = sorted(spoken.glob("*-news-*"))
    ended = main("classify", *files, "--probe", "language", "--target", target, "--json")
    assert ended.returncode == 0, ended.stderr
    told = objects(ended)
    assert [each["path"] for each in told] == [str(path) for path in files]
    guesses = [max(each["answers"][0]["scores"].items(), key=lambda item: item[1]) for each in told]
    right = [name == path.name[:3] for (name, _), path in zip(guesses, files, strict=True)]
    assert np.mean(right) > 0.8
    shown = main("classify", files[0], spoken / "noise.wav", "--target", target)
    assert shown.returncode == 1
    assert "language" in shown.stdout
    assert "noise.wav: " in shown.stderr


def test_a_timeline_is_shown(main: Program, trained: Ended, spoken: Path, target: str) -> None:
    file = next(spoken.glob("deu-*"))
    flags = ("--timeline", "--window", "2", "--agree", "1")
    ended = main("classify", file, *flags, "--target", target, "--json")
    (told,) = objects(ended)
    spans = told["timelines"]["language"]
    assert spans[0]["start_seconds"] == 0
    assert spans[-1]["end_seconds"] == pytest.approx(told["seconds"])
    shown = main("classify", file, *flags, "--target", target)
    assert f"{file.name}: language" in shown.stdout


def test_probes_are_listed_shown_moved_and_deleted(
    main: Program, trained: Ended, target: str, tmp_path: Path
) -> None:
    where = ("--target", target)
    assert "language" in main("probe", "list", *where).stdout
    shown = main("probe", "show", "language", *where)
    assert "unweighted accuracy" in shown.stdout
    assert "MFCC" in shown.stdout
    assert "warning: " in shown.stderr
    assert main("probe", "export", "language", tmp_path / "kept", *where).returncode == 0
    imported = main("probe", "import", "copy", tmp_path / "kept", *where)
    assert "copy is version 1 now" in imported.stderr
    assert main("probe", "delete", "copy", *where).returncode == 0
    gone = main("probe", "show", "copy", *where)
    assert gone.returncode == 1
    assert "'copy' does not" in gone.stderr
    listed = {each["name"] for each in objects(main("probe", *where, "--json"))}
    assert "language" in listed
    assert "copy" not in listed


def test_frames_are_learned_from_a_table_of_spans(
    main: Program, target: str, tmp_path: Path
) -> None:
    rows = ["path\tstart\tend\tkind\tspeaker"]
    for seed in range(6):
        samples = np.concatenate([probing.sound(kind, 2, seed) for kind in ("hum", "hiss", "hum")])
        soundfile.write(tmp_path / f"{seed}.wav", samples, 16_000)
        for place, kind in enumerate(("hum", "hiss", "hum")):
            rows.append(f"{seed}.wav\t{2.0 * place}\t{2.0 * place + 2}\t{kind}\ts{seed}")
    table = tmp_path / "spans.tsv"
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")
    asked = ("--speech", tmp_path, "--metadata", table, "--label", "kind", "--group", "speaker")
    flags = ("--layers", "4", "--pooling", "none", *QUICK, "--target", target, "--json")
    trained = main("probe", "train", "kind", *asked, *flags)
    assert trained.returncode == 0, trained.stderr
    (told,) = objects(trained)
    assert told["spaces"][0]["pooling"] == "none"
    ended = main(
        "classify",
        tmp_path / "0.wav",
        "--probe",
        "kind",
        "--timeline",
        "--target",
        target,
        "--json",
    )
    (found,) = objects(ended)
    spans = found["timelines"]["kind"]
    hiss = [span for span in spans if span["labels"] == ["hiss"]]
    heard = sum(span["end_seconds"] - span["start_seconds"] for span in hiss)
    assert heard == pytest.approx(2, abs=0.6)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ((), "`--collection` or `--speech`"),
        (("--collection", "a", "--speech", "b"), "`--collection` or `--speech`"),
        (("--speech", "nowhere"), "`--metadata` must be a readable text file"),
    ],
)
def test_what_is_missing_is_told(
    main: Program, target: str, flags: tuple[str, ...], text: str
) -> None:
    ended = main("probe", "train", "x", *flags, "--target", target)
    assert ended.returncode == 1
    assert text in ended.stderr


def test_without_a_probe_there_is_nothing_to_ask(main: Program, tmp_path: Path, clip: Path) -> None:
    from embedsvc import Client

    with Client(data=tmp_path / "empty") as client:
        bundled = client.probes.list()
    ended = main("classify", clip, "--data", tmp_path / "empty")
    assert ended.returncode == (0 if bundled else 1)
    assert bundled or "`embedsvc probe train` makes one" in ended.stderr
