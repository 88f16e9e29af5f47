# ruff: noqa: RUF001  # IPA looks like other letters, and must

import json
from itertools import product
from pathlib import Path

import pytest

import embedsvc
from embedsvc.texts.articulation import distance

HEADS = json.loads(
    (Path(embedsvc.__file__).parent / "models" / "mini" / "heads.json").read_text(encoding="utf-8")
)
LABELS = [label for label in HEADS["phones"]["labels"] if label]


def test_every_pair_of_phones_of_the_head_has_a_distance() -> None:
    for left, right in product(LABELS, LABELS):
        far = distance(left, right)
        assert 0 <= far <= 1
        assert far == distance(right, left)
        assert (far == 0) == (left == right)


@pytest.mark.parametrize(
    ("phone", "near", "far"),
    [
        ("t", "d", "n"),
        ("t", "tʰ", "k"),
        ("t", "t͡s", "m"),
        ("s", "ʃ", "t"),
        ("e", "ɛ", "u"),
        ("i", "j", "k"),
        ("aː", "a", "ɔ"),
        ("ɾ", "r", "t"),
        ("ʁ", "r", "p"),
    ],
)
def test_what_is_made_alike_is_nearer(phone: str, near: str, far: str) -> None:
    assert distance(phone, near) < distance(phone, far)


def test_a_vowel_is_as_far_from_a_consonant_as_can_be() -> None:
    assert distance("a", "t") == 1
    assert distance("!", "t") == 1
