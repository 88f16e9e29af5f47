"""Under which license a checkpoint says that it is."""

import re
from pathlib import Path

CARD_FILE = "README.md"

_MOST_BYTES = 64 * 1024
_LINE = re.compile(r"license:[ \t]*[\"']?([A-Za-z0-9][\w.+-]{0,63})[\"']?[ \t]*")


def stated_license(directory: Path) -> str:
    """Identifier at the head of a model's card, such as `cc-by-nc-4.0`; "" where none is said.

    Only a plain line `license:` between the two lines `---` at the top counts: nothing of the
    card is evaluated.
    """
    try:
        with (directory / CARD_FILE).open("rb") as file:
            text = file.read(_MOST_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""
    opening, *lines = text.splitlines() or [""]
    if opening.strip() != "---":
        return ""
    for line in lines:
        if line.strip() == "---":
            break
        if found := _LINE.fullmatch(line):
            return found[1]
    return ""
