"""What belongs together in the sentences that come with the package."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from embedsvc.samples import clips
from tests.cli.program import Program, objects


@pytest.fixture
def collection(program: Program, target: str, tmp_path: Path) -> Iterator[str]:
    """The sentences of the package, and a few again, recoded."""
    samples = clips("archive")[0].path.parents[1]
    asked = ("--metadata", samples / "index.tsv", "--target", target)
    assert program("index", "mined", samples, *asked).returncode == 0
    for clip in clips("archive")[:3]:
        sound, rate = soundfile.read(clip.path)
        soundfile.write(tmp_path / f"again-{clip.path.stem}.wav", 0.5 * sound, rate)
    assert program("index", "mined", tmp_path, "--target", target).returncode == 0
    yield "mined"
    program("collections", "delete", "mined", "--target", target)


def test_translations_and_copies_are_found(main: Program, target: str, collection: str) -> None:
    sides = ("--filter", 'language = "deu"', "--other-filter", 'language = "nld"')
    asked = (collection, collection, *sides, "--target", target)
    pairs = objects(main("mine", *asked, "--json", "--limit", 3))
    assert len(pairs) == 3
    assert [pair["margin"] for pair in pairs] == sorted(
        (pair["margin"] for pair in pairs), reverse=True
    )
    first = pairs[0]
    assert first["left"]["metadata"]["language"] == "deu"
    assert first["left"]["metadata"]["group"] == first["right"]["metadata"]["group"]
    shown = main("mine", *asked)
    assert "pairs" in shown.stdout
    assert first["left"]["id"] in shown.stdout

    # One text by two synthetic voices is nearly the same sound.
    near = (collection, "--min-cosine", 0.99, "--target", target)
    found = objects(main("duplicates", *near, "--json"))
    assert len(found) == 3
    for group in found:
        again, original = sorted(group["ids"])
        assert Path(original).stem == Path(again).stem.removeprefix("again-")
        assert group["pairs"][0]["cosine"] > 0.99
    assert "3 groups of copies" in main("duplicates", *near).stdout


def test_what_cannot_be_mined_is_refused(main: Program, target: str) -> None:
    for words in (("mine", "nothing", "nothing"), ("duplicates", "nothing")):
        refused = main(*words, "--target", target)
        assert refused.returncode == 1
        assert "nothing" in refused.stderr
