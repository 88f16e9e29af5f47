"""Rows of `languages.tsv`, and beside them those of `measured.tsv`, which a command writes."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

_MEASURED = (
    "code",
    "synthetic_seconds",
    "people_seconds",
    "probe",
    "people_right",
    "people_asked",
    "synthetic_right",
    "synthetic_asked",
)


@dataclass(frozen=True)
class Recall:
    """Clips of a language whose language a probe named, of those it was asked about.

    An answer of `unknown` is not right.
    """

    right: int
    asked: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.right / self.asked


@dataclass(frozen=True)
class Measured:
    """What `mini` and its probe of languages have to do with a language.

    `synthetic_seconds` and `people_seconds` are the speech that `mini` heard in training. `probe`
    says whether the language is one of the labels of the probe; None was not measured.
    """

    synthetic_seconds: float = 0.0
    people_seconds: float = 0.0
    probe: bool = False
    people: Recall | None = None
    synthetic: Recall | None = None


@dataclass(frozen=True)
class Language:
    """A row: ISO 639-3 `code`, its tag of `bcp47`, names, and `scripts` of ISO 15924.

    `also` are other codes of it: of ISO 639-2, old ones, and members that fold into it. `card` is
    its tag on the card of facebook/w2v-bert-2.0, "" if it is not there. `endonym` is "" where the
    sources gave none that was certain.
    """

    code: str
    bcp47: str
    name: str
    endonym: str
    scripts: tuple[str, ...]
    also: tuple[str, ...]
    card: str
    measured: Measured = Measured()


@cache
def languages() -> tuple[Language, ...]:
    """Every language, in the order of the codes.

    >>> languages()[0].name
    'Afrikaans'
    """
    measured = {row["code"]: _measured(row) for row in _rows("measured.tsv")}
    return tuple(
        Language(
            row["code"],
            row["bcp47"],
            row["name"],
            row["endonym"],
            tuple(row["scripts"].split()),
            tuple(row["also"].split()),
            row["card"],
            measured.get(row["code"], Measured()),
        )
        for row in _rows("languages.tsv")
    )


def write_measured(measured: Mapping[str, Measured], path: Path) -> None:
    """Write what was measured, by code; a recall that was not stays empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(_MEASURED)
        for code, each in sorted(measured.items()):
            table.writerow(
                (
                    code,
                    round(each.synthetic_seconds),
                    round(each.people_seconds),
                    "yes" if each.probe else "",
                    *_counts(each.people),
                    *_counts(each.synthetic),
                )
            )


def _counts(recall: Recall | None) -> tuple[object, object]:
    return ("", "") if recall is None else (recall.right, recall.asked)


def _measured(row: Mapping[str, str]) -> Measured:
    return Measured(
        float(row["synthetic_seconds"]),
        float(row["people_seconds"]),
        row["probe"] == "yes",
        _recall(row["people_right"], row["people_asked"]),
        _recall(row["synthetic_right"], row["synthetic_asked"]),
    )


def _recall(right: str, asked: str) -> Recall | None:
    return Recall(int(right), int(asked)) if asked else None


def _rows(name: str) -> list[dict[str, str]]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
