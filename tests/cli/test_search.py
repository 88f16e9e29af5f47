from pathlib import Path

import pytest

from tests.cli.program import Program, objects


@pytest.fixture(scope="module")
def collection(program: Program, target: str, folder: Path) -> str:
    """Three recordings and their languages."""
    table = folder.parent / f"{folder.name}.tsv"
    table.write_text("path\tlanguage\na.wav\teng\nb.wav\tspa\nmore/c.wav\tfra\n")
    asked = ("--metadata", table, "--target", target)
    assert program("index", "searched", folder, *asked).returncode == 0
    return "searched"


def test_the_nearest_moments_come_first(
    program: Program, target: str, collection: str, folder: Path
) -> None:
    ended = program("search", collection, folder / "b.wav", "--target", target, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    hits = objects(ended)
    assert [hit["rank"] for hit in hits] == [1, 2, 3]
    assert hits[0]["id"] == "b.wav"
    assert hits[0]["score"] == pytest.approx(1.0, abs=1e-3)
    assert hits[0]["start_seconds"] == 0.0
    assert hits[0]["metadata"] == {"language": "spa"}


def test_people_get_a_table_and_how_it_was_made(
    program: Program, target: str, collection: str, folder: Path
) -> None:
    ended = program("search", collection, folder / "b.wav", "--target", target)
    assert "Nearest to b.wav" in ended.stdout
    assert "language=spa" in ended.stdout
    assert ended.stderr.startswith("3 segments scored in ")


def test_hits_are_explained(main: Program, target: str, collection: str, folder: Path) -> None:
    asked = ("search", collection, folder / "b.wav", "--target", target, "--explain")
    shown = main(*asked)
    assert "stored" in shown.stdout
    hits = objects(main(*asked, "--json"))
    for hit in hits:
        assert hit["explanation"]["stored_cosine"] == pytest.approx(hit["score"], abs=1e-4)
        assert hit["explanation"]["languages"] == []


def test_flags_narrow_the_search(main: Program, target: str, collection: str, folder: Path) -> None:
    def ids(*flags: object) -> list[str]:
        asked = ("search", collection, folder / "b.wav", "--target", target, "--json", *flags)
        return [hit["id"] for hit in objects(main(*asked))]

    assert len(ids("--top-k", 2, "--one-per-recording")) == 2
    assert ids("--min-score", 0.999) == ["b.wav"]
    assert len(ids("--at-most", "1:language")) == 3
    assert ids("--at-most", "1:nothing") == ["b.wav"]
    assert ids("--filter", 'not (language in ("spa", "fra"))') == ["a.wav"]
    assert ids("--filter", "exists(year)") == []


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        (("--filter", "language = = 3"), 2, "`filter` must have"),
        (("--filter", ""), 2, "`filter` must have"),
        (("--top-k", "many"), 2, "--top-k"),
        (("--at-most", "language"), 2, "must be N:FIELD"),
        (("--at-most", "0:language"), 1, "`at_most`"),
        (("--top-k", "1001"), 1, "`top_k`"),
        (("--top-k", "-1"), 1, "`top_k`"),
    ],
)
def test_what_cannot_be_asked_is_said(
    main: Program,
    target: str,
    collection: str,
    folder: Path,
    flags: tuple[str, ...],
    code: int,
    told: str,
) -> None:
    ended = main("search", collection, folder / "a.wav", "--target", target, *flags)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert told in ended.stderr


def test_what_is_not_there_is_named(
    main: Program, target: str, collection: str, folder: Path
) -> None:
    ended = main("search", "nowhere", folder / "a.wav", "--target", target)
    assert ended.returncode == 1
    assert "nowhere" in ended.stderr
    ended = main("search", collection, folder / "nowhere.wav", "--target", target)
    assert ended.returncode == 1
    assert "nowhere.wav` must be a file" in ended.stderr


def test_moments_say_when_in_both(program: Program, target: str, folder: Path) -> None:
    asked = ("--moments", "--target", target)
    assert program("index", "moments", folder, *asked).returncode == 0
    ended = program("search", "moments", folder / "b.wav", *asked, "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    (first, *_) = objects(ended)
    assert first["id"] == "b.wav"
    assert first["moment_score"] == pytest.approx(1.0, abs=1e-3)
    spans = ("start_seconds", "end_seconds"), ("query_start_seconds", "query_end_seconds")
    ours, theirs = ([first[name] for name in names] for names in spans)
    assert ours == pytest.approx(theirs, abs=0.1)
    nearest = ("--moments", "local", "--candidates", "5", "--target", target)
    shown = program("search", "moments", folder / "b.wav", *nearest)
    assert "of query" in shown.stdout
    assert "codes compared" in shown.stderr


def test_moments_need_a_collection_made_for_them(
    main: Program, target: str, collection: str, folder: Path
) -> None:
    asked = ("--moments", "--target", target)
    for command in ("search", collection, folder / "b.wav"), ("index", collection, folder):
        ended = main(*command, *asked)
        assert ended.returncode == 1
        assert "made without" in ended.stderr
    ended = main("search", collection, folder / "b.wav", "--candidates", "5", "--target", target)
    assert "--candidates` needs --moments" in ended.stderr


def test_the_space_that_is_named_is_searched(main: Program, target: str, folder: Path) -> None:
    spaces = ("--space", "meaning=semantic", "--space", "who=speaker")
    assert main("index", "spaces", folder, *spaces, "--target", target).returncode == 0
    found = {
        space: objects(
            main(
                *("search", "spaces", folder / "a.wav", "--json"),
                *("--space", space, "--target", target),
            )
        )
        for space in ("", "meaning", "who")
    }
    assert found[""] == found["meaning"]
    scores = [[hit["score"] for hit in found[space]] for space in ("meaning", "who")]
    assert [each[0] for each in scores] == pytest.approx([1, 1], abs=1e-3)
    assert scores[0][1:] != pytest.approx(scores[1][1:], abs=1e-3)
    told = main("search", "spaces", folder / "a.wav", "--space", "smell", "--target", target)
    assert told.returncode == 1
    assert "(meaning, who), but is 'smell'" in told.stderr
    for command in ("duplicates", "spaces"), ("mine", "spaces", "spaces"):
        refused = main(*command, "--space", "smell", "--target", target)
        assert "(meaning, who), but is 'smell'" in refused.stderr


@pytest.fixture(scope="module")
def told(program: Program, target: str, folder: Path) -> str:
    """The same recordings, written down by the head of phones."""
    ended = program("index", "told", folder, "--texts", "phones", "--target", target)
    assert ended.returncode == 0
    return "told"


def test_a_text_is_searched_by_its_phones(main: Program, target: str, told: str) -> None:
    asked = ("search", told, "--phones", "n a", "--target", target)
    hits = objects(main(*asked, "--json", "--one-per-recording"))
    assert {hit["id"] for hit in hits} <= {"a.wav", "b.wav", "more/c.wav"}
    for hit in hits:
        assert hit["score"] == hit["scores"]["phones"]
        assert hit["head"] == "phones"
        assert 0 <= hit["start_seconds"] < hit["end_seconds"]
    shown = main(*asked)
    assert "Where it says n a" in shown.stdout
    assert "looked for n a" in shown.stderr


def test_an_audio_may_stand_beside_the_text(
    main: Program, target: str, told: str, folder: Path
) -> None:
    asked = ("search", told, folder / "b.wav", "--phones", "n a", "--target", target, "--json")
    hits = objects(main(*asked))
    assert {hit["id"] for hit in hits} == {"a.wav", "b.wav", "more/c.wav"}
    assert max(hits, key=lambda hit: hit["scores"]["audio"])["id"] == "b.wav"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--language", "deu"), "`--language` needs --text"),
        (("--match", "words"), "`--match` needs --text"),
        (("--text", "x", "--explain"), "`--explain` needs a search without --text"),
        (("--text", "hello"), "`language_code` must be set"),
    ],
)
def test_flags_of_text_are_checked(
    main: Program, target: str, told: str, flags: tuple[str, ...], message: str
) -> None:
    ended = main("search", told, *flags, "--target", target)
    assert ended.returncode != 0
    assert message in ended.stderr


def test_texts_are_for_new_collections(
    main: Program, target: str, collection: str, folder: Path
) -> None:
    ended = main("index", collection, folder, "--texts", "phones", "--target", target)
    assert "`--texts` is for new collections" in ended.stderr
    made = main("collections", "create", "kept", "--transcripts", "--target", target, "--json")
    assert objects(made)[0]["texts"] == []
