"""`docs/languages.md`, made from the table so that it can not be out of step with it."""

from collections.abc import Iterator, Sequence

from embedsvc.languages.table import Language, Recall

_HEAD = """# Languages

This page is made from the table in `embedsvc/languages/` by

    embedsvc languages --markdown > docs/languages.md

and a test keeps the two in step. A language is in the table when the public card of
facebook/w2v-bert-2.0 names it, when `mini` heard it, when a synthesizer that the project uses has a
voice for it, or when a text or a recording that the project is measured on is in it. Being in the
table says nothing of quality: the last columns do.

- **code** is ISO 639-3, **tag** BCP 47. *Also* lists other codes that are taken for it (by
  `embedsvc.languages.normalize`): those of ISO 639-2, retired ones, and members of a macrolanguage
  that fold into it.
- **card**: facebook/w2v-bert-2.0 names 96 languages. Its text says that more than 143 were heard in
  pre-training and does not list them, so that an empty cell means "not named", not "not heard".
- **mini heard**: minutes of synthetic speech / of people in the training of `mini`.
- **recall**: of clips in that language, the share that the probe `language` of `mini` names
  rightly, by synthetic voices and by people, with the number of clips. An answer of *unknown* is
  not right. An empty cell was not measured, for
  want of speech that was never trained on.
"""


def markdown(rows: Sequence[Language]) -> str:
    """The page, as text that ends with a line break."""
    return "\n".join([_HEAD, *_counts(rows), "", *_table(rows), ""])


def _counts(rows: Sequence[Language]) -> Iterator[str]:
    carded = sum(bool(row.card) for row in rows)
    heard = [row.measured for row in rows if _heard(row)]
    people = sum(each.people_seconds > 0 for each in heard)
    probe = sum(row.measured.probe for row in rows)
    asked = sum(row.measured.people is not None for row in rows)
    yield (
        f"{len(rows)} languages: {carded} named by the card, {len(heard)} heard by `mini` "
        f"({people} from people), {probe} known to its probe, {asked} measured on people."
    )


def _table(rows: Sequence[Language]) -> Iterator[str]:
    yield (
        "| code | tag | name | endonym | scripts | also | card | mini heard "
        "| probe | recall, synthetic | recall, people |"
    )
    yield "|---|---|---|---|---|---|---|---:|---|---:|---:|"
    for row in rows:
        measured = row.measured
        cells = (
            row.code,
            row.bcp47,
            row.name,
            row.endonym,
            " ".join(row.scripts),
            " ".join(row.also),
            row.card,
            _minutes(row),
            "yes" if measured.probe else "",
            recall_text(measured.synthetic),
            recall_text(measured.people),
        )
        yield f"| {' | '.join(cells)} |"


def _heard(row: Language) -> bool:
    return row.measured.synthetic_seconds + row.measured.people_seconds > 0


def _minutes(row: Language) -> str:
    if not _heard(row):
        return ""
    return f"{row.measured.synthetic_seconds / 60:.0f} / {row.measured.people_seconds / 60:.0f}"


def recall_text(recall: Recall | None) -> str:
    """A share with its count, as in "25.0 % of 12"."""
    return "" if recall is None else f"{recall.share:.1%} of {recall.asked}".replace("%", " %")
