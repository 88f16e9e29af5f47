import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import Wav2Vec2CTCTokenizer

from embedsvc.encoder.ctc.vocabulary import Tokenizer, read_tokenizer
from embedsvc.types import HeadKind, Vocabulary
from tests.encoder.ctc.published import LANGUAGES, TOKENIZER, TOKENS

Read = Callable[..., tuple[Tokenizer | None, list[str]]]

LETTERS = {"<pad>": 0, "|": 1, "A": 2, "B": 3}


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def reading(
        tokens: Any, config: Any = None, added: Any = None, special: Any = None
    ) -> tuple[Tokenizer | None, list[str]]:
        files = {
            "vocab.json": tokens,
            "tokenizer_config.json": config,
            "added_tokens.json": added,
            "special_tokens_map.json": special,
        }
        for name, values in files.items():
            if values is not None:
                (tmp_path / name).write_text(json.dumps(values))
        return read_tokenizer(tmp_path)

    return reading


def sound(found: tuple[Tokenizer | None, list[str]]) -> Tokenizer:
    tokenizer, faults = found
    assert not faults
    assert tokenizer is not None
    return tokenizer


def of(found: tuple[Tokenizer | None, list[str]], labels: int, blank: int) -> Vocabulary:
    tokenizer = sound(found)
    assert not list(tokenizer.faults("", labels, blank))
    return tokenizer.vocabulary("", labels, blank)


def test_places_with_a_meaning_are_found_by_their_tokens(read: Read) -> None:
    assert of(read(TOKENS, TOKENIZER), 9, 8) == Vocabulary(
        labels=("a", "b", "ng", "'", " ", "<s>", "</s>", "\N{REPLACEMENT CHARACTER}", ""),
        blank=8,
        space=4,
        silent=frozenset({5, 6}),
        unknown=7,
    )


def test_without_a_config_the_published_tokens_are_meant(read: Read) -> None:
    found = of(read({"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "E": 5}), 6, 0)
    assert (found.space, found.unknown, found.silent) == (4, 3, frozenset({1, 2}))


@pytest.mark.parametrize("wrapped", [False, True])
def test_tokens_may_lie_beside_the_vocabulary(read: Read, *, wrapped: bool) -> None:
    pad: Any = {"content": "[PAD]", "special": True} if wrapped else "[PAD]"
    declared = {"3": {"content": "[UNK]"}, "4": {"content": "[PAD]"}, "5": {"content": "<s>"}}
    config = {"pad_token": pad, "unk_token": "[UNK]"}
    if wrapped:
        found = read({"a": 0, "b": 1, "|": 2}, config | {"added_tokens_decoder": declared})
    else:
        added = {token["content"]: int(place) for place, token in declared.items()}
        found = read({"a": 0, "b": 1, "|": 2}, {}, added, config)
    # The last token is one that the head has no label for.
    vocabulary = of(found, 5, 4)
    assert vocabulary.labels == ("a", "b", " ", "\N{REPLACEMENT CHARACTER}", "")
    assert (vocabulary.blank, vocabulary.space, vocabulary.unknown) == (4, 2, 3)


def test_a_place_without_a_token_is_never_written(read: Read) -> None:
    found = of(read(LETTERS), 6, 0)
    assert found.labels[4:] == ("", "")
    assert found.silent == frozenset({4, 5})


def test_other_special_tokens_are_never_written(read: Read) -> None:
    tokens = LETTERS | {"<eng>": 4, "<spk>": 5}
    config = {
        "additional_special_tokens": ["<eng>"],
        "added_tokens_decoder": {"5": {"content": "<spk>", "special": True}},
    }
    assert of(read(tokens, config), 6, 0).silent == frozenset({4, 5})


def test_text_is_in_lower_case_where_the_tokenizer_says_so(read: Read) -> None:
    assert of(read(LETTERS, {"do_lower_case": True}), 4, 0).labels == ("", " ", "a", "b")
    assert of(read(LETTERS, {"do_lower_case": False}), 4, 0).labels == ("", " ", "A", "B")


def test_words_may_be_parted_by_a_space_or_by_nothing(read: Read) -> None:
    assert of(read({"<pad>": 0, " ": 1, "a": 2}), 3, 0).space == 1
    assert of(read({"<pad>": 0, "字": 1, "音": 2}), 3, 0).space is None
    assert of(read({"<pad>": 0, "|": 1, "_": 2}, {"word_delimiter_token": "_"}), 3, 0).space == 2


def test_a_tokenizer_of_phones_has_no_words(read: Read) -> None:
    found = read({"<pad>": 0, "tʃ": 1, "|": 2}, {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"})
    assert sound(found).kind is HeadKind.PHONES
    assert of(found, 3, 0).space is None


def test_each_language_has_its_labels(read: Read) -> None:
    tokenizer = sound(read(LANGUAGES, {"target_lang": "spa"}))
    assert (tokenizer.nested, tokenizer.language) == (True, "spa")
    assert tokenizer.vocabulary("spa", 9, 0).labels[5:] == ("ñ", "o", "ü", "z")
    assert list(tokenizer.faults("deu", 9, 0)) == [
        "vocab.json must have the language 'deu', but does not"
    ]


@pytest.mark.parametrize(
    ("tokens", "config", "message"),
    [
        ({}, {}, "must have tokens"),
        ({"eng": {}}, {}, "of 'eng' must have tokens"),
        ({"\ud800": 0}, {}, "half a character"),
        ({"a": "0"}, {}, "at whole numbers"),
        ({"a": -1}, {}, "at whole numbers"),
        ({"a": True}, {}, "at whole numbers"),
        ({"a": 10**9}, {}, "at whole numbers"),
        ({"a" * 300: 0}, {}, "at most 256 characters"),
        ({"eng": {"a": None}}, {}, "of 'eng' must be at whole numbers"),
        ({"eng": {"a": 1}, "b": 2}, {}, "at whole numbers"),
        (LETTERS, {"pad_token": 3}, "`pad_token`"),
        (LETTERS, {"do_lower_case": "no"}, "`do_lower_case`"),
        (LETTERS, {"target_lang": ["eng"]}, "`target_lang`"),
        (LETTERS, {"additional_special_tokens": "x"}, "`additional_special_tokens`"),
        (LETTERS, {"added_tokens_decoder": {"x": {"content": "y"}}}, "added_tokens.json"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    read: Read, tokens: Any, config: Any, message: str
) -> None:
    tokenizer, faults = read(tokens, config)
    assert tokenizer is None
    assert any(message in fault for fault in faults)


@pytest.mark.parametrize(
    ("tokens", "labels", "blank", "message"),
    [
        (LETTERS, 3, 0, "'B' is 3"),
        (LETTERS | {"b": 3}, 4, 0, "different places"),
        (LETTERS, 4, 2, "that of the padding '<pad>', 0, but is 2"),
        (LANGUAGES, 9, 0, "one vocabulary of all languages"),
    ],
)
def test_tokens_of_another_head_are_refused(
    read: Read, tokens: Any, labels: int, blank: int, message: str
) -> None:
    (fault,) = sound(read(tokens)).faults("", labels, blank)
    assert message in fault


def test_a_checkpoint_without_a_vocabulary_says_so(tmp_path: Path) -> None:
    assert read_tokenizer(tmp_path) == (None, ["there must be a vocab.json, but is none"])


@pytest.mark.parametrize("lower", [False, True])
def test_labels_spell_what_the_reference_tokenizer_spells(
    read: Read, tmp_path: Path, *, lower: bool
) -> None:
    tokens = {"A": 0, "b": 1, "ng": 2, "É": 3, "|": 4, "[UNK]": 5, "[PAD]": 6}
    config = TOKENIZER | {"do_lower_case": lower}
    found = of(read(tokens, config), 7, 6)
    reference: Any = Wav2Vec2CTCTokenizer
    reference = reference(
        str(tmp_path / "vocab.json"), unk_token="[UNK]", pad_token="[PAD]", do_lower_case=lower
    )
    for seed in range(20):
        places = np.random.default_rng(seed).choice([0, 1, 2, 3, 4, 6], 40).tolist()
        kept = [place for place, _ in groupby(places) if place != found.blank]
        text = "".join(found.labels[place] for place in kept).strip()
        assert text == reference.decode(places)
