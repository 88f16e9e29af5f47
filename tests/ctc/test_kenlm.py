"""Language models are read as KenLM reads them, and a damaged one ends no process but its own."""

import math
from pathlib import Path

import pytest

from embedsvc.ctc import kenlm
from embedsvc.ctc.kenlm import KenLm, checked, own_words
from embedsvc.errors import FailedPrecondition
from tests.ctc import binaries, spoken

WORDS = ["a", "ab", "ba", "nab"]
TEXT = spoken.arpa(spoken.BIGRAMS)


def sentence(model: KenLm, words: list[int]) -> float:
    state, total = model.start(boundary=True), 0.0
    for word in words:
        state, score = model.score(state, word)
        total += score
    return total + model.finish(state)


@pytest.fixture(params=["arpa", "probing", "trie"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "arpa":
        return spoken.write(tmp_path)
    file = tmp_path / "model.bin"
    file.write_bytes({"probing": binaries.PROBING, "trie": binaries.TRIE}[request.param])
    return file


def test_every_kind_of_file_scores_alike(path: Path) -> None:
    model = checked(path, WORDS)
    for said in ([], [0], [0, 1], [2, 1, 0], [3, 4, 0]):
        words = [[*WORDS, "other"][word] for word in said]
        expected = spoken.sentence_score(spoken.BIGRAMS, words, weight=1, bonus=0, unknown=0)
        assert sentence(model, said) * math.log(10) == pytest.approx(expected, abs=1e-5)


def test_a_file_tells_its_words(path: Path) -> None:
    assert sorted(own_words(path) or ()) == WORDS


def test_a_binary_without_words_tells_none(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(binaries.TRIE[: binaries.TRIE.index(b"<unk>")])
    assert own_words(path) is None


def test_a_word_may_be_there_twice(tmp_path: Path) -> None:
    model = KenLm(spoken.write(tmp_path), ["a", "ab", "a"])
    assert sentence(model, [0]) == sentence(model, [2]) != sentence(model, [1])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 100,
        "hello",
        TEXT[:100],
        TEXT.replace("ngram 1=7", "ngram 1=60000"),
        TEXT.replace("ngram 1=7", "ngram 1=600000000000"),
        TEXT.replace("-0.6\ta", "0.6\ta"),
        TEXT.replace("<s> a", "<s> none"),
    ],
    ids=["empty", "zeros", "other", "cut", "short", "huge", "positive", "unlisted"],
)
def test_a_damaged_arpa_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.arpa"
    path.write_text(text)
    with pytest.raises(FailedPrecondition, match=r"model\.arpa is damaged"):
        checked(path, WORDS)


def test_a_binary_that_would_end_the_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    data = bytearray(binaries.TRIE)
    data[96:200] = b"\xff" * 104
    path.write_bytes(data)
    with pytest.raises(FailedPrecondition, match="damaged"):
        checked(path, WORDS)


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = spoken.write(tmp_path)
    monkeypatch.setattr(kenlm, "MOST_BYTES", 10)
    with pytest.raises(FailedPrecondition, match="at most 10 bytes"):
        checked(path, WORDS)


def test_without_the_library_the_way_to_get_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kenlm, "installed", lambda: False)
    with pytest.raises(FailedPrecondition, match=r"embedsvc\[lm\]"):
        checked(spoken.write(tmp_path), WORDS)
