from itertools import islice
from pathlib import Path

import pytest

from embedsvc.errors import FailedPrecondition
from embedsvc.training.held_out import orders
from embedsvc.training.languages import Language, languages
from embedsvc.training.prepare import Plan, find_pools
from embedsvc.training.texts import NTREX_LINES, Texts, normal, read, require
from embedsvc.training.utterances import plan

SWAHILI = Language("swa", ("bnt/sw",), ntrex="swa", bible="Swahili-NT")
GERMAN = Language("deu", ("gmw/de",), ntrex="deu", tatoeba="deu", udhr="deu")
ENGLISH = Language("eng", ("gmw/en",), ntrex="eng-US", tatoeba="eng", udhr="eng")


def groups(texts: Texts) -> tuple[set[str], set[str]]:
    return {line.group for line in texts.training}, {line.group for line in texts.evaluation}


def test_the_last_lines_of_ntrex_are_kept(text_folder: Path) -> None:
    training, kept = groups(read(text_folder, SWAHILI))
    assert {f"ntrex:{number}" for number in range(NTREX_LINES)} <= training
    assert {f"ntrex:{number}" for number in range(NTREX_LINES, 1_609)} <= kept


@pytest.mark.parametrize("language", [GERMAN, ENGLISH, SWAHILI])
def test_about_a_tenth_of_the_others_is_kept(text_folder: Path, language: Language) -> None:
    texts = read(text_folder, language)
    training = [line for line in texts.training if not line.group.startswith("ntrex")]
    kept = [line for line in texts.evaluation if not line.group.startswith("ntrex")]
    assert 0.04 < len(kept) / (len(kept) + len(training)) < 0.2


def test_what_is_kept_in_one_language_is_kept_in_all(text_folder: Path) -> None:
    read_all = [groups(read(text_folder, each)) for each in (GERMAN, ENGLISH, SWAHILI)]
    training = set[str]().union(*(each[0] for each in read_all)) - {""}
    kept = set[str]().union(*(each[1] for each in read_all)) - {""}
    assert not training & kept


def test_the_same_words_are_not_kept_and_trained_on(text_folder: Path) -> None:
    path = text_folder / "ntrex128" / "swa.txt"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[3] = f" {lines[1_500].upper()} "
    path.write_text("\n".join(lines), encoding="utf-8")
    training, _ = groups(read(text_folder, SWAHILI))
    assert "ntrex:3" not in training


def test_no_evaluated_text_holds_what_is_trained_on_and_none_is_in_it(text_folder: Path) -> None:
    trained = {
        (pool.language.code, normal(line.text)): line.group
        for pool in find_pools(Plan(text_folder, text_folder, hours=0.1))
        for line in pool.parallel
    }
    said = {
        (pool.language.code, utterance.group)
        for pool in find_pools(Plan(text_folder, text_folder, hours=0.1))
        for utterance in islice(plan(pool, 1), 300)
        if utterance.group
    }
    assert {group for _, group in said} <= set(trained.values())
    for order in orders(text_folder, 2, "1.51"):
        for part in order.parts:
            if part.split != "dev":
                continue
            assert part.lines
            for line in part.lines:
                assert (order.language.code, normal(line.text)) not in trained
                assert (order.language.code, line.group) not in said


def test_a_missing_text_is_named(text_folder: Path) -> None:
    (text_folder / "bible" / "Swahili-NT.tsv").unlink()
    with pytest.raises(FailedPrecondition, match=r"Swahili-NT\.tsv"):
        read(text_folder, SWAHILI)


def test_a_folder_without_a_collection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="ntrex128"):
        require(tmp_path)


def test_a_text_without_letters_to_compare_is_the_same_as_another_like_it() -> None:
    assert normal(" “Guten  Tag!” ") == normal("guten tag")


def test_every_language_has_its_own_code_a_voice_and_a_text() -> None:
    table = languages()
    assert len(table) >= 90
    assert len({language.code for language in table}) == len(table)
    for language in table:
        assert len(language.code) == 3
        assert language.voices
        assert language.ntrex or language.tatoeba or language.udhr or language.bible
