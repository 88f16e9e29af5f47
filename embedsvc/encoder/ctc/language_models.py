"""Language models and lists of words beside a head, in the folder that pyctcdecode writes."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from embedsvc.ctc import kenlm
from embedsvc.ctc.language_model import BONUS, UNKNOWN, WEIGHT, LanguageModel, Parting
from embedsvc.ctc.lexicon import Lexicon, sounding_words, written_words
from embedsvc.ctc.runs import Labels
from embedsvc.ctc.vocabulary import encode, is_written, text_of
from embedsvc.encoder.config import read_object
from embedsvc.encoder.ctc.heads import CtcHead
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.types import HeadKind, LanguageModelInfo, Vocabulary

FOLDER = "language_model"
"""Of a checkpoint: what is in it is for the head of its config."""

ATTRIBUTES_FILE = "attrs.json"
ALPHABET_FILE = "alphabet.json"
UNIGRAMS_FILE = "unigrams.txt"
LEXICON_FILE = "lexicon.txt"
MODEL_SUFFIXES = (".arpa", ".bin", ".binary", ".kenlm")

MOST_BYTES = 256 << 20
"""Of a list of words."""

_MOST = 100.0
"""Weights and scores that are believed, either way; fitted ones are below 10."""

_ATTRIBUTES = {"alpha": WEIGHT, "beta": BONUS, "unk_score_offset": UNKNOWN, "score_boundary": True}


def informed(head: CtcHead, directory: Path) -> CtcHead:
    """The head with the folder `language_model` of a checkpoint, or as it is where there is none.

    Without the library the head is only said to have one. Raises FailedPrecondition for a folder
    that is damaged, or not of this head.
    """
    folder = directory / FOLDER
    if not folder.is_dir():
        return head
    lexicon = (folder / LEXICON_FILE).is_file()
    if head.info.kind is HeadKind.PHONES and not lexicon:
        return head
    if not kenlm.installed() and _model_files(folder):
        missing = LanguageModelInfo(FOLDER, missing=kenlm.INSTALL)
        return replace(head, info=replace(head.info, language_model=missing))
    return with_language_model(head, folder)


def with_language_model(head: CtcHead, path: Path) -> CtcHead:
    """The head with a folder, or one file: an ARPA file, a binary of KenLM, or a lexicon.

    Raises FailedPrecondition for what is damaged or not of this head, or without the library.
    """
    model = read_language_model(path, head.vocabulary, head.info.kind)
    info = LanguageModelInfo(
        path.name, len(model.lexicon.words), model.closed, model.weight, model.bonus
    )
    return replace(head, info=replace(head.info, language_model=info), language_model=model)


def read_language_model(path: Path, vocabulary: Vocabulary, kind: HeadKind) -> LanguageModel:
    """A folder or a file, for a head of that vocabulary; raises as `with_language_model` does."""
    folder = path if path.is_dir() else None
    if not path.exists():
        raise _fault(f"there is no {path}")
    models = _model_files(path) if folder else [path] if _is_model(path) else []
    if len(models) > 1:
        raise _fault(f"{path.name} has several models: {', '.join(each.name for each in models)}")
    listed = _optional(folder, LEXICON_FILE) if folder else (None if models else path)
    if not models and listed is None:
        raise _fault(
            f"{path.name} has neither a {LEXICON_FILE} nor a file {'/'.join(MODEL_SUFFIXES)}"
        )
    attributes = _attributes(folder)
    _check_alphabet(folder, vocabulary)
    try:
        lexicon, parting = (
            _listed(listed, vocabulary, kind)
            if listed
            else (written_words(_words(models[0], folder), vocabulary), _parting(vocabulary, kind))
        )
    except InvalidArgument as error:
        raise _fault(str(error)) from error
    if not models:
        # What weighs words beside each other is not there: all of them weigh nothing.
        attributes = {**attributes, "beta": attributes["beta"] if _stated(folder) else 0.0}
    return LanguageModel(
        lexicon,
        parting,
        kenlm.checked(models[0], lexicon.words) if models else None,
        weight=attributes["alpha"],
        bonus=attributes["beta"],
        unknown=attributes["unk_score_offset"],
        boundary=attributes["score_boundary"],
        closed=listed is not None,
    )


def _model_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _is_model(path) and path.is_file())


def _is_model(path: Path) -> bool:
    return path.suffix.lower() in MODEL_SUFFIXES


def _optional(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder and (folder / name).is_file() else None


def _stated(folder: Path | None) -> bool:
    return _optional(folder, ATTRIBUTES_FILE) is not None


def _attributes(folder: Path | None) -> dict[str, Any]:
    path = _optional(folder, ATTRIBUTES_FILE)
    found = _ATTRIBUTES | (read_object(path) if path else {})
    for name in ("alpha", "beta", "unk_score_offset"):
        value, least = found[name], 0 if name == "alpha" else -_MOST
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not math.isfinite(value)
            or not least <= value <= _MOST
        ):
            raise _fault(
                f"`{name}` of {ATTRIBUTES_FILE} must be {least:g} to {_MOST:g}, "
                f"but is {str(value)[:40]}"
            )
    if not isinstance(found["score_boundary"], bool):
        raise _fault(f"`score_boundary` of {ATTRIBUTES_FILE} must be true or false")
    return found


def _check_alphabet(folder: Path | None, vocabulary: Vocabulary) -> None:
    """The labels that a folder was written for must have those of the head among them."""
    if folder is None:
        return
    path = _optional(folder, ALPHABET_FILE) or _optional(folder.parent, ALPHABET_FILE)
    if path is None:
        return
    alphabet = read_object(path)
    labels = alphabet.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise _fault(f"{ALPHABET_FILE} has no list of texts as its labels")
    if alphabet.get("is_bpe"):
        raise _fault(f"{ALPHABET_FILE} is of pieces of words (`is_bpe`), which we do not read")
    known = {label.casefold() for label in labels}
    for label in range(len(vocabulary.labels)):
        text = text_of(label, vocabulary)
        written = is_written(label, vocabulary) and label != vocabulary.unknown
        if written and text.casefold() not in known:
            raise _fault(f"{ALPHABET_FILE} is of another head: it lacks the label {text!r}")


def _parting(vocabulary: Vocabulary, kind: HeadKind) -> Parting:
    if kind is HeadKind.PHONES:
        raise _fault(
            f"a head of phones needs a {LEXICON_FILE} with the phones of each word, and has none"
        )
    return Parting.LABEL if vocabulary.space is None else Parting.SPACE


def _words(model: Path, folder: Path | None) -> list[str]:
    """Words that are known: those of `unigrams.txt` that the model has, or all of the model."""
    own = kenlm.own_words(model)
    path = _optional(folder, UNIGRAMS_FILE)
    if path is None and own is None:
        raise _fault(f"{model.name} is a binary without its words, and has no {UNIGRAMS_FILE}")
    if path is None:
        return list(own or ())
    words = dict.fromkeys(word for line in _lines(path) if (word := line.strip()))
    allowed = words.keys() - kenlm.SPECIAL
    if own is not None:
        allowed &= set(own)
    return [word for word in words if word in allowed]


def _listed(path: Path, vocabulary: Vocabulary, kind: HeadKind) -> tuple[Lexicon, Parting]:
    """The only words that there are: one on each line, and behind a tab the labels that say it."""
    if vocabulary.space is not None and kind is HeadKind.TEXT:
        words = dict.fromkeys(line.split("\t")[0].strip() for line in _lines(path))
        return written_words([word for word in words if word], vocabulary), Parting.SPACE
    places = {
        text_of(label, vocabulary): label
        for label in range(len(vocabulary.labels) - 1, -1, -1)
        if is_written(label, vocabulary)
    }
    entries = dict.fromkeys(_entries(path, places, vocabulary, kind))
    return sounding_words(list(entries), vocabulary), Parting.SOUND


def _entries(
    path: Path, places: Mapping[str, int], vocabulary: Vocabulary, kind: HeadKind
) -> Iterator[tuple[str, Labels]]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        word, _, said = line.partition("\t")
        word, labels = word.strip(), said.split()
        other = next((label for label in labels if label not in places), None)
        if other is not None:
            raise _fault(f"line {number} of {path.name} has {other[:40]!r}, no label of the head")
        if labels:
            yield word, tuple(places[label] for label in labels)
        elif kind is HeadKind.TEXT:
            yield word, encode(word, vocabulary)
        else:
            raise _fault(f"line {number} of {path.name} has no phones behind a tab")


def _lines(path: Path) -> list[str]:
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise _fault(f"{path.name} must have at most {MOST_BYTES} bytes, but has {size}")
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise _fault(f"{path.name} is no readable UTF-8 text") from error


def _fault(what: str) -> FailedPrecondition:
    return FailedPrecondition(f"`language_model` must be sound, but {what}", field="language_model")
