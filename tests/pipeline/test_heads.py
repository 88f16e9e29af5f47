"""Which head is to write."""

from dataclasses import replace

import numpy as np
import pytest

from embedsvc.encoder import PhoneHead
from embedsvc.encoder.ctc import CtcHead
from embedsvc.encoder.grid import FRAMES
from embedsvc.errors import FeatureDisabled, HeadNotFound, InvalidArgument
from embedsvc.pipeline.heads import Heads
from embedsvc.types import HeadInfo, HeadKind, Vocabulary

_NUMBERS = PhoneHead(1, ("", "a"), np.zeros((2, 3), np.float32), np.zeros(2, np.float32))


def head(name: str, kind: HeadKind, *languages: str) -> CtcHead:
    info = HeadInfo(name, kind, languages, 2, 0.02, "entropy/v1")
    return CtcHead(info, Vocabulary(("", "a"), 0), 1, FRAMES, _NUMBERS)


PHONES = head("phones", HeadKind.PHONES)
ENGLISH = head("english", HeadKind.TEXT, "eng")
IBERIAN = head("iberian", HeadKind.TEXT, "spa", "por")
ANY = head("any", HeadKind.TEXT)


def test_a_name_or_a_language_chooses() -> None:
    heads = Heads([PHONES, ENGLISH, IBERIAN])
    assert [info.name for info in heads.infos()] == ["english", "iberian", "phones"]
    assert heads.chosen("english") is ENGLISH
    assert heads.chosen(language="pt-BR") is IBERIAN
    assert heads.chosen(language="en_US.UTF-8") is ENGLISH
    assert heads.chosen(language="fra") is PHONES
    assert heads.chosen("phones", "spa") is PHONES
    assert heads.chosen() is PHONES, "the only one for any language"


def test_text_comes_before_phones_and_its_own_language_before_any() -> None:
    heads = Heads([PHONES, ANY, ENGLISH])
    assert heads.chosen(language="en") is ENGLISH
    assert heads.chosen(language="de") is ANY


def test_what_was_left_out_is_told() -> None:
    stale = replace(ANY, left_out="it is of other weights")
    assert Heads([PHONES]).joined([stale]).left_out() == {"any": "it is of other weights"}


def test_the_only_head_needs_no_choice() -> None:
    assert Heads([ENGLISH]).chosen() is ENGLISH


def test_what_cannot_be_chosen_says_why() -> None:
    with pytest.raises(FeatureDisabled, match="none"):
        Heads([]).chosen()
    with pytest.raises(HeadNotFound, match="'french'") as unknown:
        Heads([ENGLISH]).chosen("french", prefix="config.")
    assert unknown.value.field == "config.head"
    with pytest.raises(HeadNotFound, match="'deu'") as missing:
        Heads([ENGLISH, IBERIAN]).chosen(language="de")
    assert missing.value.field == "language_code"
    with pytest.raises(InvalidArgument, match="writes"):
        Heads([ENGLISH, PHONES]).chosen("english", "de")
    with pytest.raises(InvalidArgument, match="ISO 639") as odd:
        Heads([PHONES]).chosen(language="no such")
    assert odd.value.field == "language_code"
    with pytest.raises(InvalidArgument, match="several"):
        Heads([PHONES, replace(ANY)]).chosen()


def test_the_language_written_is_that_asked_for_or_the_only_one() -> None:
    heads = Heads([PHONES, ENGLISH, IBERIAN])
    assert heads.written_language(PHONES, "de-AT") == "deu"
    assert heads.written_language(ENGLISH, "") == "eng"
    assert heads.written_language(IBERIAN, "") == ""
    assert heads.written_language(PHONES, "") == ""


def test_a_language_that_only_a_model_knows_is_asked_for_by_its_own_code() -> None:
    rare = head("mms-zzq", HeadKind.TEXT, "zzq")
    heads = Heads([PHONES, rare])
    assert heads.chosen(language="zzq") is rare
    assert heads.written_language(rare, "zzq") == "zzq"
    with pytest.raises(InvalidArgument, match="ISO 639"):
        Heads([PHONES]).chosen(language="zzq")


def test_heads_of_other_models_join_those_of_the_first() -> None:
    joined = Heads([PHONES]).joined([ENGLISH, ANY])
    assert [info.name for info in joined.infos()] == ["any", "english", "phones"]
