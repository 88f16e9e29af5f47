"""What the labels of a CTC head stand for, from the files of its tokenizer."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsvc.encoder.config import read_object, whole
from embedsvc.types import HeadKind, Vocabulary

VOCABULARY_FILE = "vocab.json"
TOKENIZER_FILE = "tokenizer_config.json"
ADDED_FILE = "added_tokens.json"
SPECIAL_FILE = "special_tokens_map.json"

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
SPACE = " "

_PHONES = "Wav2Vec2PhonemeCTCTokenizer"
_SPECIAL = {
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "word_delimiter_token": "|",
}
"""Tokens with a meaning, and what they are where no file says so."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST = 256
_MOST_LANGUAGES = 10_000
_MOST_IDS = 1_000_000

Tokens = Mapping[str, int]


@dataclass(frozen=True)
class Tokenizer:
    """Tokens by language; "" is the only one of a vocabulary that is not nested.

    `language` is the one that the weights of the checkpoint itself are for, "" if it does not say.
    `added` are tokens beside the vocabulary. `lower` says that text is written in lower case.
    """

    tokens: Mapping[str, Tokens]
    added: Tokens
    pad: str | None
    unknown: str | None
    delimiter: str | None
    others: frozenset[str]
    lower: bool
    kind: HeadKind
    language: str

    @property
    def nested(self) -> bool:
        """Whether each language has a vocabulary of its own."""
        return "" not in self.tokens

    def key(self, language: str) -> str:
        """Where the tokens of a language are."""
        return language if self.nested else ""

    def faults(self, language: str, labels: int, blank: int) -> Iterator[str]:
        """Why the tokens of a language can not be those of a head with so many labels."""
        if language not in self.tokens:
            wanted = f"the language {language!r}" if language else "one vocabulary of all languages"
            yield f"{VOCABULARY_FILE} must have {wanted}, but does not"
            return
        tokens = self.tokens[language]
        over = sorted(token for token, place in tokens.items() if place >= labels)
        if over:
            yield (
                f"the tokens of {VOCABULARY_FILE} must be below the {labels} labels of the head, "
                f"but {over[0]!r} is {tokens[over[0]]}"
            )
        if len(set(tokens.values())) < len(tokens):
            yield f"the tokens of {VOCABULARY_FILE} must be at different places, but some are not"
        pad = self._place(language, self.pad)
        if pad is not None and pad != blank:
            yield (
                f"`pad_token_id`, the blank, must be that of the padding {self.pad!r}, {pad}, "
                f"but is {blank}"
            )

    def vocabulary(self, language: str, labels: int, blank: int) -> Vocabulary:
        """Labels of a head for a language without `faults`.

        A place without any token is never written, like those of other special tokens.
        """
        named = {place: token for token, place in self.added.items()}
        named |= {place: token for token, place in self.tokens[language].items()}
        unknown = self._below(labels, language, self.unknown)
        space = self._below(labels, language, self.delimiter)
        if space is None:
            space = self._below(labels, language, SPACE)
        kept = {blank, unknown, space}
        silent = {
            place
            for place in range(labels)
            if place not in kept and (place not in named or named[place] in self.others)
        }
        written = {blank: ""} | ({} if unknown is None else {unknown: UNKNOWN})
        written |= {} if space is None else {space: SPACE}
        texts = (written.get(place, self._text(named.get(place, ""))) for place in range(labels))
        return Vocabulary(tuple(texts), blank, space, frozenset(silent), unknown)

    def _text(self, token: str) -> str:
        return token.lower() if self.lower and token not in self.others else token

    def _place(self, language: str, token: str | None) -> int | None:
        if token is None:
            return None
        return self.tokens[language].get(token, self.added.get(token))

    def _below(self, labels: int, language: str, token: str | None) -> int | None:
        place = self._place(language, token)
        return place if place is not None and place < labels else None


def read_tokenizer(directory: Path) -> tuple[Tokenizer | None, list[str]]:
    """Tokenizer of a checkpoint, or all that is wrong with its files."""
    if not (directory / VOCABULARY_FILE).is_file():
        return None, [f"there must be a {VOCABULARY_FILE}, but is none"]
    words = read_object(directory / VOCABULARY_FILE)
    values = _optional(directory / SPECIAL_FILE) | _optional(directory / TOKENIZER_FILE)
    added = _added(values) | _optional(directory / ADDED_FILE)
    faults = [*_nested_faults(words), *_token_faults(ADDED_FILE, added), *_choice_faults(values)]
    if faults:
        return None, faults
    phones = values.get("tokenizer_class") == _PHONES
    special = _SPECIAL | ({"word_delimiter_token": None} if phones else {})
    named = {name: _content(values.get(name, default)) for name, default in special.items()}
    more = values.get("additional_special_tokens") or []
    others = {named["pad_token"], named["bos_token"], named["eos_token"], *map(_content, more)}
    others |= {_content(each) for each in _declared(values).values() if _is_special(each)}
    keeping = {named["unk_token"], named["word_delimiter_token"], None}
    tokenizer = Tokenizer(
        tokens=words if _is_nested(words) else {"": words},
        added=added,
        pad=named["pad_token"],
        unknown=named["unk_token"],
        delimiter=named["word_delimiter_token"],
        others=frozenset(other for other in others - keeping if other is not None),
        lower=bool(values.get("do_lower_case")),
        kind=HeadKind.PHONES if phones else HeadKind.TEXT,
        language=values.get("target_lang") or "",
    )
    return tokenizer, []


def _optional(path: Path) -> dict[str, Any]:
    return read_object(path) if path.is_file() else {}


def _declared(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tokens beside the vocabulary by their places, which are texts here."""
    declared = values.get("added_tokens_decoder") or {}
    return declared if isinstance(declared, dict) else {}


def _added(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _content(token) or "": int(place) if place.isascii() and place.isdecimal() else place
        for place, token in _declared(values).items()
        if len(place) <= len(str(_MOST_IDS))
    }


def _content(token: Any) -> str | None:
    """Text of a token, which newer files wrap in an object."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def _is_special(token: Any) -> bool:
    return isinstance(token, dict) and token.get("special") is True


def _is_nested(words: Mapping[str, Any]) -> bool:
    return bool(words) and all(isinstance(tokens, dict) for tokens in words.values())


def _nested_faults(words: Mapping[str, Any]) -> Iterator[str]:
    if not _is_nested(words):
        yield from _all_faults(VOCABULARY_FILE, words)
    elif len(words) > _MOST_LANGUAGES:
        yield (
            f"{VOCABULARY_FILE} must have at most {_MOST_LANGUAGES} languages, but has {len(words)}"
        )
    else:
        for language, tokens in words.items():
            yield from _all_faults(f"{VOCABULARY_FILE} of {language[:40]!r}", tokens)


def _all_faults(file: str, tokens: Mapping[str, Any]) -> Iterator[str]:
    if not tokens:
        yield f"{file} must have tokens, but has none"
    yield from _token_faults(file, tokens)


def _token_faults(file: str, tokens: Mapping[str, Any]) -> Iterator[str]:
    """At most one fault for each rule, since one file can hold many tokens."""
    long = next((token for token in tokens if len(token) > _LONGEST), None)
    if long is not None:
        yield f"tokens of {file} must have at most {_LONGEST} characters, but one has {len(long)}"
    if any(_SURROGATE.search(token) for token in tokens):
        yield f"tokens of {file} must be text, but one has half a character"
    for token, place in tokens.items():
        if not whole(place, 0, _MOST_IDS - 1):
            yield (
                f"tokens of {file} must be at whole numbers from 0 to {_MOST_IDS - 1}, "
                f"but {token[:40]!r} is {str(place)[:40]!r}"
            )
            return


def _choice_faults(values: Mapping[str, Any]) -> Iterator[str]:
    for name in _SPECIAL:
        value = values.get(name)
        if value is not None and _content(value) is None:
            yield f"`{name}` of {TOKENIZER_FILE} must be a text, but is a {type(value).__name__}"
    if not isinstance(values.get("do_lower_case"), bool | None):
        yield f"`do_lower_case` must be true or false, but is {values['do_lower_case']!r}"
    if not isinstance(values.get("target_lang"), str | None):
        yield f"`target_lang` must be a text, but is {values['target_lang']!r}"
    more = values.get("additional_special_tokens")
    if not isinstance(more, list | None):
        yield f"`additional_special_tokens` must be a list, but is a {type(more).__name__}"
