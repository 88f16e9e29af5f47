"""What the head of a model's card says, of which nothing is evaluated."""

import re
from collections.abc import Iterator
from pathlib import Path

from embedsvc.errors import InvalidArgument
from embedsvc.languages import normalize

CARD_FILE = "README.md"

_MOST_BYTES = 64 * 1024
_ONE = re.compile(r"language:[ \t]*[\"']?([A-Za-z][\w-]{0,34})?[\"']?[ \t]*", re.ASCII)
_ITEM = re.compile(r"[ \t]*-[ \t]*[\"']?([A-Za-z][\w-]{0,34})[\"']?[ \t]*", re.ASCII)


def card_lines(directory: Path) -> list[str]:
    """Lines between the two lines `---` at the top of the card; none where there is none."""
    try:
        with (directory / CARD_FILE).open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return []
    opening, *lines = text.splitlines() or [""]
    if opening.strip() != "---":
        return []
    found = []
    for line in lines:
        if line.strip() == "---":
            break
        found.append(line)
    return found


def stated_languages(directory: Path) -> tuple[str, ...]:
    """ISO 639-3 codes of the languages that the card names, as far as they are known.

    Only a plain line `language: CODE` counts, or lines `- CODE` after `language:`.
    """
    codes = []
    for name in _named(card_lines(directory)):
        try:
            codes.append(normalize(name))
        except InvalidArgument:
            continue  # such as "multilingual"
    return tuple(dict.fromkeys(codes))


def _named(lines: list[str]) -> Iterator[str]:
    for place, line in enumerate(lines):
        found = _ONE.fullmatch(line)
        if found is None:
            continue
        if found[1]:
            yield found[1]
            return
        for below in lines[place + 1 :]:
            item = _ITEM.fullmatch(below)
            if item is None:
                return
            yield item[1]
        return
