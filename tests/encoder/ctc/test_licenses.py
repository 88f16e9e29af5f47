from pathlib import Path

import pytest

from embedsvc.encoder.ctc.licenses import stated_license


@pytest.mark.parametrize(
    ("card", "license"),
    [
        ("---\nlanguage:\n- sna\nlicense: mit\n---\n# Name\n", "mit"),
        ("---\nlicense: 'cc-by-nc-4.0' \n---\n", "cc-by-nc-4.0"),
        ("---\r\nlicense: apache-2.0\r\n---\r\n", "apache-2.0"),
        ("---\nlanguage: sna\n---\nlicense: mit\n", ""),
        ("license: mit\n", ""),
        ("---\nlicense: !!python/object:os.system\n---\n", ""),
        ("---\nother_license: mit\n---\n", ""),
        ("---\nlicense: " + "x" * 100 + "\n---\n", ""),
        ("\0\ufffd", ""),
        ("", ""),
    ],
)
def test_a_license_is_what_the_head_of_the_card_says(
    tmp_path: Path, card: str, license: str
) -> None:
    (tmp_path / "README.md").write_text(card)
    assert stated_license(tmp_path) == license


def test_a_checkpoint_without_a_card_states_none(tmp_path: Path) -> None:
    assert not stated_license(tmp_path)


def test_what_is_no_text_states_none(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"---\n\xff\xfe\n---")
    assert not stated_license(tmp_path)
