# ruff: noqa: RUF001  # punctuation of many languages looks like other letters, and must

from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.training.languages import Language, language_of
from embedsvc.training.prepare import Plan, find_pools
from embedsvc.training.utterances import (
    CHUNK_LETTERS,
    KEPT_VARIANTS,
    VARIANTS,
    Pool,
    chunk,
    plan,
    words,
)

GERMAN = Language("deu", ("gmw/de",))


def pool_of(folder: Path, code: str) -> Pool:
    pools = find_pools(Plan(folder, folder, hours=0.1))
    return next(pool for pool in pools if pool.language.code == code)


def test_the_plan_is_the_same_for_a_seed_and_another_for_another(text_folder: Path) -> None:
    pool = pool_of(text_folder, "deu")
    first, again, other = (list(islice(plan(pool, seed), 40)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_all_languages_say_the_same_parallel_lines_first(text_folder: Path) -> None:
    pools = find_pools(Plan(text_folder, text_folder, hours=0.1))
    first = [{line.group for line in pool.parallel[:50]} for pool in pools]
    shared = {group for group in set.union(*first) if group.startswith("ntrex:")}
    assert sum(len(shared & each) for each in first) > 2 * len(shared)


def test_nothing_is_planned_without_text() -> None:
    assert not list(plan(Pool(GERMAN, (), ()), 1))


def test_a_language_without_parallel_lines_says_parts_of_others() -> None:
    said = list(islice(plan(Pool(GERMAN, ("ein langer Satz mit Wörtern",), ()), 1), 20))
    assert len(said) == 20
    assert {utterance.group for utterance in said} == {""}


def test_utterances_are_of_all_kinds_and_lengths(text_folder: Path) -> None:
    said = list(islice(plan(pool_of(text_folder, "deu"), 1), 300))
    kinds = Counter(bool(utterance.group) for utterance in said)
    assert 0.3 < kinds[True] / 300 < 0.5
    lengths = [len(utterance.text.split()) for utterance in said]
    assert min(lengths) == 1
    assert max(lengths) >= 5


def test_variants_to_evaluate_with_are_never_trained_on() -> None:
    assert not set(VARIANTS) & set(KEPT_VARIANTS)


@settings(max_examples=50)
@given(st.text(alphabet='ab ,.()"', max_size=90), st.integers(0, 99))
def test_a_chunk_is_made_of_words_of_its_line(text: str, seed: int) -> None:
    part = chunk(text, GERMAN, Random(seed))
    assert set('()"').isdisjoint(part)
    longest = max((len(word) for word in text.split()), default=0)
    assert len(part) <= max(*CHUNK_LETTERS, longest)


@settings(max_examples=30)
@given(st.integers(0, 999))
def test_one_or_two_words_are_said(seed: int) -> None:
    assert 1 <= len(words("Der Vogel trinkt gestern Wasser.", GERMAN, Random(seed)).split()) <= 2


@pytest.mark.parametrize("code", ["cmn", "jpn"])
def test_a_language_without_spaces_is_cut_at_its_punctuation(code: str) -> None:
    language = language_of(code)
    assert language is not None
    text = (
        "これはひらがなです、そして漢字ではありません。"
        if code == "jpn"
        else "你好，世界很大。再见！"
    )
    for seed in range(20):
        part = chunk(text, language, Random(seed))
        assert part
        assert set("，。、！漢字").isdisjoint(part)
