"""The languages that are synthesized, and where the text of each lies."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

SPACELESS = frozenset({"cmn", "yue", "jpn", "shn"})
"""Written without spaces between words."""

DENSE = frozenset({"cmn", "yue"})
"""Written with a letter for a syllable."""

VOWELLESS = frozenset({"ara", "fas", "heb", "snd", "urd"})
"""Written without most vowels, which a synthesizer cannot guess and people say."""

PIVOT = "eng"


@dataclass(frozen=True)
class Language:
    """A row of `languages.tsv`: ISO 639-3 code, voices of espeak-ng, and names of its texts.

    A text is "" where there is none. Several voices are varieties of one language.
    """

    code: str
    voices: tuple[str, ...]
    ntrex: str = ""
    tatoeba: str = ""
    udhr: str = ""
    bible: str = ""


@cache
def languages() -> tuple[Language, ...]:
    """Every language of `languages.tsv`, in its order.

    >>> languages()[0]
    Language(code='afr', voices=('gmw/af',), ntrex='afr', tatoeba='afr', udhr='afr', bible='')
    """
    table = resources.files(__package__).joinpath("languages.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(
        Language(
            row["language"],
            tuple(row["voices"].split()),
            row["ntrex"],
            row["tatoeba"],
            row["udhr"],
            row["bible"],
        )
        for row in rows
    )


def language_of(code: str) -> Language | None:
    """The language of an ISO 639-3 code, region or none, if it is synthesized."""
    bare = code.partition("-")[0]
    return next((each for each in languages() if each.code == bare), None)
