from pathlib import Path

import pytest

from embedsvc.samples import clips
from tests.cli.program import Program, objects


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Two voices of English and Spanish and one of others; a row that is not asked for."""
    rows = ["path\tlanguage\tspeaker\tgroup\tsplit"]
    for clip in clips():
        if clip.group in {"news", "trip"} and clip.language in {"eng", "spa", "pol"}:
            (tmp_path / clip.path.name).symlink_to(clip.path)
            split = "dev" if clip.language != "pol" else "test"
            row = (clip.path.name, clip.language, clip.voice, clip.group, split)
            rows.append("\t".join(row))
    path = tmp_path / "index.tsv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_retrieval_is_measured_beside_a_baseline_and_chance(
    main: Program, target: str, index: Path
) -> None:
    (index.parent / "broken.opus").write_bytes(b"no sound")
    with index.open("a") as table:
        table.write("broken.opus\teng\tm9\tnews\tdev\n")
    ended = main("evaluate", "retrieval", index, "--target", target, "--json")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith("broken.opus: ")
    speed, *outcomes = objects(ended)
    assert speed["measure"] == "speed"
    assert speed["failed"] == 1
    assert speed["recordings"] == sum("\tdev" in row for row in index.read_text().split("\n")) - 1
    assert {outcome["system"] for outcome in outcomes} == {"mini", "MFCC mean+std"}
    for outcome in outcomes:
        assert outcome["queries"] > 0
        assert 0 <= outcome["r1"] <= outcome["r10"] <= 1
        assert 0 < outcome["chance1"] <= outcome["chance10"] <= 1
    left = objects(main("collections", "--target", target, "--json"))
    assert not [each for each in left if each["name"].startswith("evaluate-")]


def test_a_table_that_says_too_little_is_refused(main: Program, target: str, index: Path) -> None:
    index.write_text(index.read_text().replace("speaker", "voice"))
    ended = main("evaluate", "retrieval", index, "--target", target)
    assert ended.returncode == 1
    assert "has no speaker" in ended.stderr
    nothing = main("evaluate", "retrieval", index, "--target", target, "--only", "year > 1")
    assert nothing.returncode == 1
    assert "--only" in nothing.stderr


def test_each_step_of_a_search_across_languages_is_measured(
    main: Program, index: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "map.svg"
    words = (
        "evaluate",
        "retrieval",
        index.parent,
        "--stages",
        "--only",
        'split in ("dev", "test")',
    )
    ended = main(*words, "--json")
    assert ended.returncode == 0, ended.stderr
    stages = objects(ended)
    assert [(each["vectors"], each["step"]) for each in stages[:3]] == [
        ("MFCC", ""),
        ("layer 6, raw mean", ""),
        ("layer 6, mean_std, whitened", ""),
    ]
    assert {each["step"] for each in stages[2:]} == {
        "",
        "centered by language",
        "through a fitted transform",
    }
    for stage in stages:
        assert 0 <= stage["together"]["r1"] <= stage["together"]["r10"] <= 1
        assert 0 < stage["together"]["chance1"] < 1
    shown = main(*words, "--profile", "phonetic", "--figure", picture)
    assert shown.returncode == 0, shown.stderr
    assert "Among all other languages" in shown.stdout
    assert picture.read_text().startswith("<svg")


def test_stages_are_refused_where_they_can_not_be_had(main: Program, index: Path) -> None:
    words = ("evaluate", "retrieval", index)
    for more, said in (
        (("--stages", "--pooling", "max", "--projection", ""), "must be mean or mean_std"),
        (("--stages", "--target", "localhost:1"), "in this process"),
        (("--stages", "--only", 'language = "eng"'), "can not be asked across languages"),
        (("--stages", "--only", "year > 1"), "rows that meet --only"),
        (("--figure", "map.svg"), "must come with --stages"),
    ):
        ended = main(*words, *more)
        assert ended.returncode == 1
        assert said in ended.stderr


def test_copies_are_measured_beside_other_recordings(main: Program) -> None:
    index = clips()[0].path.parents[1] / "index.tsv"
    words = ("evaluate", "duplicates", index, "--only", 'language = "ita"')
    ended = main(*words, "--json")
    assert ended.returncode == 0, ended.stderr
    found = objects(ended)
    assert found[0]["name"] == "nearest other recording"
    assert found[0]["recordings"] == 5
    for each in found:
        assert -1 <= each["least"] <= each["median"] <= each["most"] <= 1.001
        assert set(each["shares"]) == {"0.8", "0.85", "0.9"}
    assert "cosines of 2 recordings" in main(*words, "--most", 2).stdout
    for flags, said in ((("--most", 1), "2 or more"), (("--only", "year = 1"), "two rows")):
        refused = main(*words[:3], *flags)
        assert refused.returncode == 1
        assert said in refused.stderr
