"""Folders of language models are read as pyctcdecode writes them, whatever is in them."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedsvc.ctc import Parting, kenlm, transcribe
from embedsvc.encoder import PhoneHead
from embedsvc.encoder.ctc import CtcHead, load_heads, resolve_ctc, with_language_model
from embedsvc.encoder.ctc.language_models import informed, read_language_model
from embedsvc.encoder.grid import FRAMES
from embedsvc.errors import EmbedsvcError, FailedPrecondition
from embedsvc.types import DecodeOptions, HeadInfo, HeadKind, LanguageModelInfo, Vocabulary
from tests.ctc import binaries, spoken
from tests.encoder.ctc.published import bert, write

SPACED = Vocabulary(("", "a", "b", "n", " "), 0, 4)
SIGNS = Vocabulary(("", "a", "b", "n"), 0)
PHONES = Vocabulary(("", "n", "ɒ", "tʰ"), 0)
WORDS = ["a", "ab", "ba", "nab"]
ATTRIBUTES = {"alpha": 0.7, "beta": 0.2, "unk_score_offset": -5, "score_boundary": False}
LABELS = ["", "a", "b", "n", " "]

TEXT_KIND, PHONE_KIND = HeadKind.TEXT, HeadKind.PHONES


def written(folder: Path, **files: Any) -> Path:
    """A folder with files of those names; underscores are dots."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What pyctcdecode leaves in a repository on the Hub."""
    written(tmp_path, alphabet_json={"labels": LABELS, "is_bpe": False})
    path = tmp_path / "language_model"
    written(path, unigrams_txt="ab\na\nnab\nunheard\n", attrs_json=ATTRIBUTES)
    spoken.write(path)
    return path


def head(vocabulary: Vocabulary = SPACED, kind: HeadKind = TEXT_KIND) -> CtcHead:
    size = len(vocabulary.labels)
    info = HeadInfo("text", kind, (), size, 0.02, "entropy/v1")
    numbers = PhoneHead(
        1, vocabulary.labels, np.zeros((size, 3), np.float32), np.zeros(size, np.float32)
    )
    return CtcHead(info, vocabulary, 1, FRAMES, numbers)


def test_a_folder_of_the_hub_is_read(folder: Path) -> None:
    found = read_language_model(folder, SPACED, TEXT_KIND)
    assert found.lexicon.words == ("ab", "a", "nab"), "what the model lacks is unknown"
    assert (found.weight, found.bonus, found.unknown, found.boundary) == (0.7, 0.2, -5, False)
    assert (found.parting, found.closed) == (Parting.SPACE, False)
    given = informed(head(), folder.parent)
    assert given.language_model is not None
    assert given.info.language_model == LanguageModelInfo("language_model", 3, False, 0.7, 0.2)


@pytest.mark.parametrize("content", [spoken.arpa(spoken.BIGRAMS).encode(), binaries.PROBING])
def test_one_file_has_its_own_words(tmp_path: Path, content: bytes) -> None:
    name = "model.arpa" if content.startswith(b"\\data") else "model.bin"
    (tmp_path / name).write_bytes(content)
    found = read_language_model(tmp_path / name, SPACED, TEXT_KIND)
    assert sorted(found.lexicon.words) == WORDS
    assert (found.weight, found.bonus, found.unknown, found.boundary) == (0.5, 1.5, -10, True)


def test_without_spaces_each_label_is_a_word(folder: Path) -> None:
    assert read_language_model(folder, SIGNS, TEXT_KIND).parting is Parting.LABEL


def test_a_lexicon_closes_the_words_of_text(tmp_path: Path) -> None:
    path = written(tmp_path, lexicon_txt="ab\ta b |\nnab\nab\n\n") / "lexicon.txt"
    for place in (path, tmp_path):
        found = read_language_model(place, SPACED, TEXT_KIND)
        assert found.lexicon.words == ("ab", "nab")
        assert (found.parting, found.closed, found.scorer) == (Parting.SPACE, True, None)
        assert found.bonus == 0


def test_a_lexicon_tells_how_words_sound(tmp_path: Path) -> None:
    path = written(tmp_path, words_txt="not\tn ɒ tʰ\nwell on\tɒ n\n") / "words.txt"
    given = with_language_model(head(PHONES, PHONE_KIND), path)
    model = given.language_model
    assert model is not None
    assert given.info.language_model == LanguageModelInfo("words.txt", 2, True, 0.5, 0.0)
    log_probs = np.full((5, 4), -9, np.float32)
    log_probs[np.arange(5), [2, 1, 1, 2, 3]] = 0
    found = transcribe(log_probs[2:], PHONES, DecodeOptions(beam=4), model=model)
    assert [word.text for word in found.words] == ["not"]
    found = transcribe(log_probs[:2], PHONES, DecodeOptions(beam=4), model=model)
    assert [word.text for word in found.words] == ["well on"]


def test_a_lexicon_of_signs_is_spelled(tmp_path: Path) -> None:
    path = written(tmp_path, lexicon_txt="abn\nba\n") / "lexicon.txt"
    found = read_language_model(path, SIGNS, TEXT_KIND)
    assert (found.parting, found.lexicon.words) == (Parting.SOUND, ("abn", "ba"))


def test_a_model_and_a_lexicon_go_together(folder: Path) -> None:
    written(folder, lexicon_txt="ab\nnab\nb\n")
    found = read_language_model(folder, SPACED, TEXT_KIND)
    assert (found.closed, found.scorer is not None, found.weight) == (True, True, 0.7)


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"model_arpa": "hello"}, "damaged"),
        ({"model_arpa": b"\xff\xfe"}, "damaged"),
        ({"other_arpa": spoken.arpa(spoken.BIGRAMS)}, "several models"),
        ({"attrs_json": {"alpha": -1}}, "`alpha`"),
        ({"attrs_json": {"beta": 1e9}}, "`beta`"),
        ({"attrs_json": {"beta": True}}, "`beta`"),
        ({"attrs_json": '{"unk_score_offset": NaN}'}, "`unk_score_offset`"),
        ({"attrs_json": {"score_boundary": 1}}, "`score_boundary`"),
        ({"attrs_json": "[]"}, "JSON object"),
        ({"alphabet_json": {"labels": ["", "x"]}}, "another head"),
        ({"alphabet_json": {"labels": "ab"}}, "list of texts"),
        ({"alphabet_json": {"labels": LABELS, "is_bpe": True}}, "pieces of words"),
        ({"unigrams_txt": "x\ny"}, "1 to"),
        ({"unigrams_txt": b"\xff"}, "UTF-8"),
        ({"lexicon_txt": ""}, "1 to"),
        ({"lexicon_txt": "xyz"}, "none of 1"),
    ],
)
def test_a_damaged_folder_is_refused(folder: Path, files: dict[str, Any], fault: str) -> None:
    written(folder, **files)
    with pytest.raises(FailedPrecondition, match=fault):
        informed(head(), folder.parent)


def test_a_list_of_phones_is_checked_line_by_line(tmp_path: Path) -> None:
    for content, fault in (("not\tn o", "line 1 .* 'o'"), ("a\tn\nnot", "line 2 .* no phones")):
        path = written(tmp_path, words_txt=content) / "words.txt"
        with pytest.raises(FailedPrecondition, match=fault):
            read_language_model(path, PHONES, PHONE_KIND)


def test_phones_need_a_list(folder: Path) -> None:
    with pytest.raises(FailedPrecondition, match="phones of each word"):
        read_language_model(next(folder.glob("*.arpa")), SPACED, PHONE_KIND)
    assert informed(head(kind=PHONE_KIND), folder.parent).language_model is None


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="there is no"):
        read_language_model(tmp_path / "none", SPACED, TEXT_KIND)
    with pytest.raises(FailedPrecondition, match="neither"):
        read_language_model(tmp_path, SPACED, TEXT_KIND)
    binary = binaries.TRIE[: binaries.TRIE.index(b"<unk>")]
    path = written(tmp_path, model_bin=binary)
    with pytest.raises(FailedPrecondition, match="binary without its words"):
        read_language_model(path, SPACED, TEXT_KIND)


def test_without_the_library_a_head_says_what_it_lacks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kenlm, "installed", lambda: False)
    given = informed(head(), folder.parent)
    assert given.language_model is None
    assert given.info.language_model == LanguageModelInfo(
        "language_model", missing="pip install 'embedsvc[lm]'"
    )


def test_a_checkpoint_brings_its_language_model(tmp_path: Path) -> None:
    directory = write(bert(), tmp_path / "model")
    spoken.write(written(directory / "language_model"))
    (found,) = load_heads(resolve_ctc(str(directory)))
    assert found.language_model is not None
    assert found.info.language_model is not None
    assert found.info.language_model.words == 4
    shutil.rmtree(directory / "language_model")
    (plain,) = load_heads(resolve_ctc(str(directory)))
    assert plain.info == replace(found.info, language_model=None)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-200, 2**70) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
anything = st.binary(max_size=60) | st.text("abnɒ \t\n\r\0\u2028", max_size=40)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    lexicon=anything,
    attributes=values | st.dictionaries(st.sampled_from(sorted(ATTRIBUTES)), values),
    alphabet=values | st.fixed_dictionaries({"labels": values}),
    phones=st.booleans(),
)
def test_any_files_give_a_model_or_an_error(
    lexicon: bytes | str, attributes: Any, alphabet: Any, phones: bool
) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        files = {"attrs_json": attributes, "alphabet_json": alphabet, "lexicon_txt": lexicon}
        files = {n: json.dumps(v) if n.endswith("json") else v for n, v in files.items()}
        path = written(Path(temporary), **files)
        vocabulary, kind = (PHONES, PHONE_KIND) if phones else (SPACED, TEXT_KIND)
        try:
            model = read_language_model(path, vocabulary, kind)
        except EmbedsvcError:
            return
        log_probs = np.log(np.full((6, len(vocabulary.labels)), 0.2, np.float32))
        transcribe(log_probs, vocabulary, DecodeOptions(beam=4), model=model)
