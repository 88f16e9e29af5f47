from pathlib import Path

import pytest

from embedsvc.cli.collections import index_text
from embedsvc.samples import clips
from embedsvc.types import IndexInfo
from tests.cli.program import Program, objects


@pytest.fixture
def collection(program: Program, target: str, folder: Path) -> str:
    asked = ("--target", target, "--layer", 2, "--pooling", "mean")
    assert program("index", "shown", folder, *asked).returncode == 0
    return "shown"


def test_collections_are_listed_shown_and_deleted(
    main: Program, target: str, collection: str
) -> None:
    (shown,) = objects(main("collections", "show", collection, "--target", target, "--json"))
    assert (shown["recordings"], shown["segments"]) == (3, 3)
    assert (shown["space"]["layer"], shown["space"]["pooling"]) == (2, "mean")
    assert (shown["segment_seconds"], shown["hop_seconds"]) == (6.0, 3.0)
    assert (shown["index"]["recipe"], shown["index"]["recall"]) == ("flat-fp16", 1.0)
    listed = objects(main("collections", "--target", target, "--json"))
    assert shown in listed
    assert "shown" in main("collections", "list", "--target", target).stdout
    gone = main("collections", "delete", collection, "--target", target)
    assert (gone.returncode, gone.stdout, gone.stderr) == (0, "", "deleted shown\n")
    missing = main("collections", "show", collection, "--target", target)
    assert missing.returncode == 1
    assert "shown" in missing.stderr


def test_flags_before_the_action_count_too(main: Program, target: str, collection: str) -> None:
    before = main("collections", "--target", target, "--json", "show", collection)
    after = main("collections", "show", collection, "--target", target, "--json")
    assert objects(before) == objects(after)


def test_a_collection_is_fitted_and_searched_as_it_is_again(main: Program, target: str) -> None:
    samples = clips("archive")[0].path.parents[1]
    asked = ("--metadata", samples / "index.tsv", "--target", target)
    assert main("index", "fitted", samples, *asked).returncode == 0
    flags = ("--language", "language", "--dim", 64, "--drop", 1, "--target", target)
    told = main("collections", "fit", "fitted", *flags)
    assert told.returncode == 0
    assert "searched through transform 1, 256 to 64 dimensions, fitted on 1" in told.stderr
    (shown,) = objects(main("collections", "show", "fitted", "--target", target, "--json"))
    assert shown["transform"]["dim"] == 64
    assert shown["transform"]["recipe"] == {
        "language": "language",
        "standardize": True,
        "drop": 1,
        "whiten": False,
        "dim": 64,
    }
    (again,) = objects(main("collections", "fit", "fitted", "--target", target, "--json"))
    assert again["transform"]["version"] == 2
    refused = main("collections", "fit", "fitted", "--dim", 500, "--target", target)
    assert refused.returncode == 1
    assert "but is 500" in refused.stderr
    assert main("collections", "unfit", "fitted", "--target", target).returncode == 0
    (shown,) = objects(main("collections", "show", "fitted", "--target", target, "--json"))
    assert shown["transform"] is None
    main("collections", "delete", "fitted", "--target", target)


def test_an_index_that_misses_some_says_how_many_it_finds() -> None:
    missing_some = IndexInfo("hnsw32-sq8", 0.976, 0.95, 400, 10**6)
    assert index_text(missing_some) == "hnsw32-sq8, recall 97.6%"
    assert index_text(IndexInfo("flat-fp16")) == "flat-fp16"


def test_a_collection_of_several_spaces_is_made_shown_and_fitted(
    main: Program, target: str
) -> None:
    spaces = ("--space", "meaning=semantic", "--space", "sound=phonetic")
    made = main("collections", "create", "double", *spaces, "--moments", "--target", target)
    assert made.returncode == 0
    assert "meaning:" in made.stdout
    samples = clips("archive")[0].path.parents[1]
    asked = ("--metadata", samples / "index.tsv", "--target", target)
    assert main("index", "double", samples, *spaces, *asked).returncode == 0
    told = main("collections", "fit", "double", "--space", "sound", "--target", target)
    assert told.returncode == 0
    assert "double in sound is searched through transform 1" in told.stderr
    (shown,) = objects(main("collections", "show", "double", "--target", target, "--json"))
    assert [each["name"] for each in shown["spaces"]] == ["meaning", "sound"]
    assert [each["transform"] is None for each in shown["spaces"]] == [True, False]
    assert shown["space"] == shown["spaces"][0]["space"]
    assert "sound:" in main("collections", "--target", target).stdout
    undone = main("collections", "unfit", "double", "--space", "sound", "--target", target)
    assert undone.stderr == "double in sound is searched as it is\n"
    unknown = main("collections", "fit", "double", "--space", "smell", "--target", target)
    assert unknown.returncode == 1
    assert "(meaning, sound), but is 'smell'" in unknown.stderr


def test_spaces_are_told_by_name_and_profile(main: Program, target: str) -> None:
    wrong = main("collections", "create", "never", "--space", "semantic", "--target", target)
    assert wrong.returncode == 2
    assert "must be NAME=PROFILE, but is semantic" in wrong.stderr
    twice = ("--space", "a=semantic", "--space", "a=phonetic")
    refused = main("collections", "create", "never", *twice, "--target", target)
    assert refused.returncode == 1
    assert "'a' is there twice" in refused.stderr
