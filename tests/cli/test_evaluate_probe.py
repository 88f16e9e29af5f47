import json
from pathlib import Path

import pytest

from embedsvc.samples import clips
from tests.cli.program import Program
from tests.evaluation.sets import write_set

FEW = ("eng", "deu", "spa")


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two sets of samples, halves of each to learn on and to be asked about."""
    folder = tmp_path_factory.mktemp("sets")
    some = [clip for clip in clips() if clip.language in FEW]
    rows = [
        {
            "path": str(clip.path),
            "split": "dev" if place % 2 else "train",
            "language": clip.language,
            "speaker": clip.voice,
            "label": clip.group,
            "seconds": f"{clip.seconds:g}",
            "group": clip.group,
        }
        for place, clip in enumerate(some)
    ]
    first, second = folder / "first", folder / "second"
    write_set(first, rows[::2] + rows[1:20:2])
    write_set(second, rows[1::2] + rows[:20:2])
    return first, second


def test_a_bundled_probe_is_measured(
    main: Program, sets: tuple[Path, Path], tmp_path: Path
) -> None:
    out, picture = tmp_path / "out.json", tmp_path / "out.svg"
    ended = main(
        "evaluate", "probe", "language", *sets, "--by", "language", "--json", out,
        "--figure", picture, "--baseline", 'split = "train"', "--cross", "--threads", 1,
        "--no-sounds",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    for title in ("how often it is right", "Does it know?", "The surest clips", "corpus"):
        assert title in ended.stdout
    found = json.loads(out.read_text(encoding="utf-8"))
    assert set(found["sets"]) == {"first", "second"}
    figures = found["figures"]
    assert figures["accuracy"] > 10 * figures["chance"]
    assert {"mfcc_accuracy", "ece_before", "ece", "coverage", "false_unknowns"} <= figures.keys()
    assert found["not_speech"] == {}
    assert {each["label"] for each in found["classes"]} == set(FEW)
    assert {(each["learned"], each["asked"]) for each in found["crossed"]} == {
        ("first", "second"),
        ("second", "first"),
    }
    assert picture.read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.slow
def test_what_is_not_speech_is_asked_about(
    main: Program, sets: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    ended = main("evaluate", "probe", "emotion", sets[0], "--threads", 1, "--json", out)
    assert ended.returncode == 0, ended.stderr
    assert "What is not speech" in ended.stdout
    strange = json.loads(out.read_text(encoding="utf-8"))["not_speech"]
    assert strange["digital silence"] == {"unknown": 1.0, "clips": 1}
    assert sum(each["clips"] for each in strange.values()) > 300


def test_labels_that_a_probe_does_not_have_are_shown_apart(
    main: Program, sets: tuple[Path, Path]
) -> None:
    ended = main("evaluate", "probe", "language", sets[0], "--no-sounds", "--threads", 1)
    assert ended.returncode == 0, ended.stderr
    assert "Labels it does not have" in ended.stdout
    assert "weather" in ended.stdout


def test_a_probe_that_is_not_there_is_named(main: Program, sets: tuple[Path, Path]) -> None:
    ended = main("evaluate", "probe", "nothing", sets[0])
    assert ended.returncode == 1
    assert "`PROBE` must be" in ended.stderr


def test_rows_that_nobody_wants_are_the_callers_fault(
    main: Program, sets: tuple[Path, Path]
) -> None:
    ended = main("evaluate", "probe", "language", sets[0], "--only", 'split = "no"')
    assert ended.returncode == 1
    assert "`DIR` must have rows" in ended.stderr


def test_a_probe_of_a_server_is_measured(
    main: Program, sets: tuple[Path, Path], target: str
) -> None:
    ended = main(
        "evaluate", "probe", "emotion", sets[0], "--target", target, "--no-sounds", "--threads", 1
    )
    assert ended.returncode == 0, ended.stderr
    assert "Labels it does not have" in ended.stdout
    assert main("evaluate", "probe", "nothing", sets[0], "--target", target).returncode == 1
