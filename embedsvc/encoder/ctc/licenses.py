"""Under which license a checkpoint says that it is."""

import re
from pathlib import Path

from embedsvc.encoder.ctc.cards import card_lines

_LINE = re.compile(r"license:[ \t]*[\"']?([A-Za-z0-9][\w.+-]{0,63})[\"']?[ \t]*")


def stated_license(directory: Path) -> str:
    """Identifier at the head of a model's card, such as `cc-by-nc-4.0`; "" where none is said.

    Only a plain line `license:` counts.
    """
    for line in card_lines(directory):
        if found := _LINE.fullmatch(line):
            return found[1]
    return ""
