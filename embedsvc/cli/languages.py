"""`embedsvc languages`: the languages this project knows of, and what was measured in each."""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from embedsvc.cli.output import emit, say, table
from embedsvc.errors import InvalidArgument
from embedsvc.languages import (
    Language,
    Measured,
    Recall,
    languages,
    markdown,
    normalize,
    write_measured,
)
from embedsvc.languages.page import recall_text
from embedsvc.timing import HOP, SAMPLE_RATE


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("languages", help="list languages, and what is known of each")
    parser.add_argument(
        "language", nargs="*", metavar="LANGUAGE", help="codes, tags or parts of names"
    )
    parser.add_argument("--card", action="store_true", help="named by w2v-bert-2.0's card")
    parser.add_argument("--heard", action="store_true", help="heard by mini in training")
    parser.add_argument("--probe", action="store_true", help="known to mini's probe")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--markdown", action="store_true", help="the page docs/languages.md")
    record = parser.add_argument_group("to write down what was measured")
    record.add_argument("--record", type=Path, metavar="FILE.tsv", help="where it goes")
    record.add_argument("--corpus", type=Path, metavar="DIR", help="that mini was trained on")
    record.add_argument(
        "--people", type=Path, metavar="JSON", help="of `evaluate probe`, on recordings of people"
    )
    record.add_argument("--synthetic", type=Path, metavar="JSON", help="the same, on synthesizers")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Print the table, or write what was measured."""
    if chosen.record is not None:
        _record(chosen)
        return 0
    rows = [row for row in languages() if _is_wanted(row, chosen)]
    if not rows:
        raise InvalidArgument("`LANGUAGE` must be in the table, but nothing there is like it")
    if chosen.markdown:
        print(markdown(rows), end="")
    elif chosen.json:
        for row in rows:
            emit(asdict(row))
    else:
        _show(rows)
    return 0


def _is_wanted(row: Language, chosen: argparse.Namespace) -> bool:
    measured = row.measured
    heard = measured.synthetic_seconds + measured.people_seconds > 0
    flags = (
        (chosen.card, bool(row.card)),
        (chosen.heard, heard),
        (chosen.probe, measured.probe),
    )
    if any(asked and not met for asked, met in flags):
        return False
    return not chosen.language or any(_is_named(row, text) for text in chosen.language)


def _is_named(row: Language, text: str) -> bool:
    """Whether a code or tag is of this language, or a text of four letters or more in its names."""
    try:
        if normalize(text) == row.code:
            return True
    except InvalidArgument:
        pass
    part = text.casefold()
    return len(part) > 3 and any(part in name.casefold() for name in (row.name, row.endonym))


def _show(rows: Sequence[Language]) -> None:
    columns = (
        "code", "tag", "name", "endonym", "card", "mini heard>", "probe", "synthetic>", "people>",
    )  # fmt: skip
    cells = []
    for row in rows:
        measured = row.measured
        seconds = measured.synthetic_seconds + measured.people_seconds
        cells.append(
            (
                row.code,
                row.bcp47,
                row.name,
                row.endonym,
                row.card,
                f"{seconds / 60:.0f} min" if seconds else "",
                "yes" if measured.probe else "",
                recall_text(measured.synthetic),
                recall_text(measured.people),
            )
        )
    table(f"Languages: {len(rows)}; recall of mini's probe", columns, cells)


def _record(chosen: argparse.Namespace) -> None:
    for name in ("corpus", "people", "synthetic"):
        if getattr(chosen, name) is None:
            raise InvalidArgument(f"`--{name}` must be given with --record")
    measured = dict(
        _measured(
            _heard(chosen.corpus),
            json.loads(chosen.people.read_text(encoding="utf-8")),
            json.loads(chosen.synthetic.read_text(encoding="utf-8")),
        )
    )
    known = {row.code for row in languages()}
    if unknown := measured.keys() - known:
        raise InvalidArgument(f"the table of languages must have rows for {sorted(unknown)}")
    write_measured(measured, chosen.record)
    say(f"wrote {len(measured)} languages to {chosen.record}")


def _heard(corpus: Path) -> Mapping[str, tuple[float, float]]:
    """Seconds of synthesizers and of people, by code."""
    from embedsvc.training.corpus import CLIPS, read_clips

    seconds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for clip in read_clips(corpus / CLIPS):
        length = clip.frames * HOP / SAMPLE_RATE
        seconds[normalize(clip.language)][not clip.synthesizer] += length
    return {code: (synthetic, people) for code, (synthetic, people) in seconds.items()}


def _measured(
    heard: Mapping[str, tuple[float, float]], people: Any, synthetic: Any
) -> Iterator[tuple[str, Measured]]:
    labels = frozenset(people["labels"])
    if labels != frozenset(synthetic["labels"]):
        raise InvalidArgument("`--people` and `--synthetic` must be of the same probe")
    by_people, by_synthetic = _recalls(people), _recalls(synthetic)
    for code in sorted(heard.keys() | labels | by_people.keys() | by_synthetic.keys()):
        yield (
            code,
            Measured(
                *heard.get(code, (0.0, 0.0)),
                code in labels,
                by_people.get(code),
                by_synthetic.get(code),
            ),
        )


def _recalls(report: Any) -> Mapping[str, Recall]:
    """Of a report of `evaluate probe`: languages that the probe knows, answered rightly."""
    return {
        each["label"]: Recall(each["answered_right"], each["clips"]) for each in report["classes"]
    }
