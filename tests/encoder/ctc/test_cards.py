from pathlib import Path

import pytest

from embedsvc.encoder.ctc.cards import stated_languages


@pytest.mark.parametrize(
    ("card", "languages"),
    [
        ("---\nlanguage: en\nlicense: mit\n---\n# Name\n", ("eng",)),
        ("---\nlicense: mit\nlanguage: 'pt-BR'\n---\n", ("por",)),
        ("---\nlanguage:\n- de\n- swh\n- de\ntags:\n- audio\n---\n", ("deu", "swa")),
        ("---\r\nlanguage:\r\n  - sna\r\n---\r\n", ("sna",)),
        ("---\nlanguage: multilingual\n---\n", ()),
        ("---\nlanguage:\n---\n- de\n", ()),
        ("---\ndatasets:\n- de\n---\nlanguage: en\n", ()),
        ("---\nlanguage: !!python/object:os.system\n---\n", ()),
        ("language: en\n", ()),
        ("", ()),
    ],
)
def test_languages_are_what_the_head_of_the_card_says(
    tmp_path: Path, card: str, languages: tuple[str, ...]
) -> None:
    (tmp_path / "README.md").write_text(card)
    assert stated_languages(tmp_path) == languages
