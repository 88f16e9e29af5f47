import json
import subprocess
import uuid
from pathlib import Path

import pytest

from embedsvc.samples import clips
from tests.cli.program import Program, command, objects
from tests.texts.test_pronouncing import spoken

ROWS = [
    {"path": "a.wav", "language": "eng", "year": 1990},
    {"path": "b.wav", "language": "spa", "year": 2000},
    {"path": "more/c.wav", "language": "fra", "year": 2010},
]


@pytest.fixture
def name() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


def outcomes(ended: subprocess.CompletedProcess[str]) -> dict[str, str]:
    return {each["id"]: each["outcome"] for each in objects(ended)}


def write(path: Path) -> Path:
    """The rows, in the form that the name of the file promises."""
    if path.suffix == ".jsonl":
        lines = [json.dumps(row) for row in ROWS]
    else:
        separator = "\t" if path.suffix == ".tsv" else ","
        table = [list(ROWS[0]), *(row.values() for row in ROWS)]
        lines = [separator.join(map(str, row)) for row in table]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_folder_is_stored_once(program: Program, target: str, folder: Path, name: str) -> None:
    first = program("index", name, folder, "--target", target)
    assert (first.returncode, first.stdout) == (0, "")
    assert first.stderr.startswith(f"{name}: 3 stored, 0 unchanged, 0 failed, in ")
    again = program("index", name, folder, "--target", target, "--json")
    assert again.returncode == 0
    assert outcomes(again) == dict.fromkeys(("a.wav", "b.wav", "more/c.wav"), "unchanged")


@pytest.mark.parametrize("suffix", [".tsv", ".csv", ".jsonl"])
def test_metadata_keeps_its_types_and_chooses_files(
    main: Program, target: str, folder: Path, name: str, tmp_path: Path, suffix: str
) -> None:
    table = write(tmp_path / f"rows{suffix}")
    only = ("--metadata", table, "--only", "year >= 2000")
    ended = main("index", name, folder, "--target", target, "--json", *only)
    assert outcomes(ended) == {"b.wav": "stored", "more/c.wav": "stored"}
    where = ("--filter", 'year < 2005 and language = "spa"', "--target", target, "--json")
    (hit,) = objects(main("search", name, folder / "a.wav", *where))
    assert hit["metadata"] == {"language": "spa", "year": 2000}


def test_new_metadata_of_a_known_file_is_stored(
    main: Program, target: str, folder: Path, name: str, tmp_path: Path
) -> None:
    main("index", name, folder / "a.wav", "--target", target)
    known = ("--metadata", write(tmp_path / "rows.tsv"), "--target", target, "--json")
    assert outcomes(main("index", name, folder / "a.wav", *known)) == {"a.wav": "stored"}
    assert outcomes(main("index", name, folder / "a.wav", *known)) == {"a.wav": "unchanged"}


def test_a_column_of_the_table_is_the_transcript(
    main: Program, target: str, folder: Path, name: str, tmp_path: Path
) -> None:
    table = tmp_path / "rows.tsv"
    asked = ("index", name, folder, "--metadata", table, "--transcript-column", "said")
    there = ("--target", target, "--json")

    def indexed(*rows: str) -> dict[str, str]:
        table.write_text("\n".join(["path\tsaid\tyear", *rows, ""]), encoding="utf-8")
        ended = main(*asked, *there)
        assert ended.returncode == 0, ended.stderr
        return outcomes(ended)

    assert indexed("a.wav\t42\t1990", "b.wav\tguten Tag\t2000") == dict.fromkeys(
        ("a.wav", "b.wav", "more/c.wav"), "stored"
    )
    (found,) = objects(main("search", name, "--text", "tag", *there))
    assert (found["id"], found["text"], found["head"]) == ("b.wav", "Tag", "")
    assert found["metadata"] == {"year": 2000}
    assert found["start_seconds"] == 0
    (number,) = objects(main("search", name, "--text", "42", *there))
    assert number["id"] == "a.wav"
    again = indexed("a.wav\t42\t1990", "b.wav\tgute Nacht\t2000")
    assert again == {"a.wav": "unchanged", "b.wav": "stored", "more/c.wav": "unchanged"}
    assert objects(main("search", name, "--text", "tag", *there)) == []


@spoken
def test_transcripts_in_a_known_language_are_found_by_how_they_sound(
    main: Program, target: str, folder: Path, name: str, tmp_path: Path
) -> None:
    table = tmp_path / "rows.tsv"
    table.write_text(
        "path\tsaid\tlanguage\na.wav\tमेला\thin\nb.wav\tmapa\tpol\nmore/c.wav\tx\t\n",
        encoding="utf-8",
    )
    asked = ("index", name, folder, "--metadata", table, "--language-column", "language")
    there = ("--target", target, "--json")
    alone = main(*asked, *there)
    assert "`--language-column` needs --transcript-column" in alone.stderr
    known = (*asked, "--transcript-column", "said", *there)
    assert set(outcomes(main(*known)).values()) == {"stored"}
    assert set(outcomes(main(*known)).values()) == {"unchanged"}
    typed = ("--text", "mela", "--language", "deu", "--match", "phones")
    first, *_ = objects(main("search", name, *typed, *there))
    assert (first["id"], first["head"]) == ("a.wav", "transcript:phones")
    assert first["metadata"] == {"language": "hin"}
    other = f"{name}-x"
    said = ("--metadata", table, "--transcript-column", "said")
    assert main("index", other, folder, *said, *there).returncode == 0
    late = main("index", other, folder, *said, "--language-column", "language", *there)
    assert "`--language-column` is for new collections" in late.stderr


def test_a_transcript_needs_a_column_of_the_table_and_a_collection_with_texts(
    main: Program, target: str, folder: Path, name: str, tmp_path: Path
) -> None:
    asked = ("index", name, folder, "--target", target)
    said = ("--transcript-column", "said")
    bare = main(*asked, *said)
    assert "`--transcript-column` needs --metadata" in bare.stderr
    table = write(tmp_path / "rows.tsv")
    other = main(*asked, "--metadata", table, *said)
    assert "must be a column of rows.tsv with texts in it, but is 'said'" in other.stderr
    assert main(*asked).returncode == 0
    late = main(*asked, "--metadata", table, "--transcript-column", "language")
    assert late.returncode == 1
    assert f"needs a collection with texts, but '{name}' was made without" in late.stderr


def test_bad_files_are_named_and_the_others_stored(
    program: Program, target: str, mixed: Path, name: str
) -> None:
    ended = program("index", name, mixed, "--target", target, "--json")
    assert ended.returncode == 1
    assert outcomes(ended) == {
        "a.wav": "stored",
        "b.wav": "stored",
        "empty.wav": "failed",
        "noise.flac": "failed",
    }
    reasons = {each["id"]: each["reason"] for each in objects(ended) if each["reason"]}
    assert reasons == {"empty.wav": "AUDIO_EMPTY", "noise.flac": "AUDIO_UNDECODABLE"}
    assert "empty.wav: `" in ended.stderr
    assert "2 stored, 0 unchanged, 2 failed" in ended.stderr


def test_two_files_of_one_id_are_both_named(main: Program, folder: Path, mixed: Path) -> None:
    ended = main("index", "any", folder, mixed)
    assert ended.returncode == 1
    assert "two files would both be 'a.wav'" in ended.stderr
    assert str(folder / "a.wav") in ended.stderr
    assert str(mixed / "a.wav") in ended.stderr


def test_nothing_to_index_is_a_failure(main: Program, tmp_path: Path) -> None:
    empty = main("index", "any", tmp_path)
    assert (empty.returncode, empty.stderr) == (1, "no sound files found\n")
    absent = main("index", "any", tmp_path / "nowhere")
    assert absent.returncode == 1
    assert "nowhere` must be a file or folder" in absent.stderr


def test_a_table_or_filter_that_cannot_be_read_stops_before_any_work(
    main: Program, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "rows.xml").write_text("<rows/>")
    table = main("index", "any", folder, "--metadata", tmp_path / "rows.xml")
    assert table.returncode == 1
    assert "`--metadata` must be .tsv, .csv or .jsonl" in table.stderr
    condition = main("index", "any", folder, "--only", "year >")
    assert condition.returncode == 2
    assert "`filter` must have" in condition.stderr


def test_a_run_that_was_killed_is_simply_run_again(
    program: Program, environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for clip in clips()[:70]:
        (folder / clip.path.name).symlink_to(clip.path)
    asked = ("index", "all", folder, "--data", tmp_path / "data", "--json")
    with subprocess.Popen(
        command(*asked),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment | {"TMPDIR": str(tmp_path)},  # the dead leave their socket behind
    ) as running:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline())["outcome"] == "stored"
        running.kill()
    again = program(*asked)
    assert again.returncode == 0
    assert set(outcomes(again)) == {path.name for path in folder.iterdir()}
    kinds = list(outcomes(again).values())
    assert 0 < kinds.count("unchanged") < len(kinds)


def test_a_new_collection_can_have_a_profile(
    main: Program, target: str, folder: Path, name: str
) -> None:
    first = main("index", name, folder, "--profile", "speaker", "--target", target)
    assert first.returncode == 0, first.stderr
    found = objects(main("collections", "--target", target, "--json"))
    made = {each["name"]: each for each in found}
    assert (made[name]["space"]["layer"], made[name]["space"]["pooling"]) == (1, "mean_std")
    unknown = main("index", f"{name}-x", folder, "--profile", "taste", "--target", target)
    assert unknown.returncode == 1
    assert "`profile` must be one the model has" in unknown.stderr


def test_spaces_are_for_new_collections_and_stand_alone(
    main: Program, target: str, folder: Path, name: str
) -> None:
    asked = ("index", name, folder, "--target", target)
    both = main(*asked, "--space", "a=semantic", "--layer", 2)
    assert both.returncode == 1
    assert "`--space` needs no --layer" in both.stderr
    assert main(*asked).returncode == 0
    late = main(*asked, "--space", "a=semantic")
    assert late.returncode == 1
    assert "was made with one without a name" in late.stderr
