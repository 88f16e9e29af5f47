"""`embedsvc evaluate probe`: how often a probe is right on speech it never had, and knows it.

A probe comes with the model, lies in a folder, or is fetched from a server. The model runs in this
process. Every figure stands beside chance, and beside mean cepstra where these have clips to learn
on.
"""

import argparse
import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc import filters
from embedsvc.cli.output import progress, say, table
from embedsvc.cli.search import condition
from embedsvc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.progress import TaskID

    from embedsvc.encoder import Encoder
    from embedsvc.evaluation.cross_corpus import Crossing
    from embedsvc.evaluation.listening import Heard
    from embedsvc.evaluation.probing import Outcome, Tell
    from embedsvc.evaluation.speech import Row
    from embedsvc.probes import Probe

FILES = ("probe.safetensors", "probe.json")
_SHOWN_FAILURES = 5
_MOST_LABELS = 40
"""Labels of which a table is still read."""


def add(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = what.add_parser("probe", help="how often is a probe right, and does it know?")
    parser.add_argument(
        "probe", metavar="PROBE", help="bundled name, folder, or name with --target"
    )
    parser.add_argument(
        "sets", nargs="+", type=Path, metavar="DIR", help="folders of clips with an index.tsv"
    )
    parser.add_argument("--by", choices=["label", "language"], default="label", help="the truth")
    parser.add_argument(
        "--only",
        type=condition,
        default=filters.parse('split = "dev"'),
        metavar="EXPR",
        help="""rows to ask about (default: split = "dev")""",
    )
    parser.add_argument(
        "--baseline",
        type=condition,
        metavar="EXPR",
        help='rows that mean cepstra learn on, such as split = "train"',
    )
    parser.add_argument(
        "--baseline-sets", nargs="+", type=Path, metavar="DIR", help="where they are (default: DIR)"
    )
    parser.add_argument(
        "--cross", action="store_true", help="learn on all clips of each DIR, ask about the others"
    )
    parser.add_argument("--no-sounds", action="store_true", help="skip what is not speech")
    parser.add_argument("--model", default="mini", help="bundled name or directory")
    parser.add_argument("--target", metavar="HOST:PORT", help="a server to fetch the probe from")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument(
        "--figure", type=Path, metavar="FILE.svg", help="draw what was taken for what"
    )
    parser.add_argument("--threads", type=int, default=2, help="of the encoder (default: 2)")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Read, pass through the encoder, ask, show and write."""
    from embedsvc.pipeline import loading

    sets = {folder.name: _rows(folder, chosen.only) for folder in chosen.sets}
    if not any(sets.values()):
        raise InvalidArgument("`DIR` must have rows that meet --only")
    encoder = loading.load(chosen.model, chosen.threads)
    probe = _probe(chosen)
    with _telling() as tell:
        outcome = _outcome(probe, encoder, sets, chosen, tell)
        crossed = _crossed(probe, encoder, chosen, tell) if chosen.cross else []
    _show(outcome, crossed)
    _write(outcome, crossed, chosen)
    return 0


def _rows(folder: Path, wanted: filters.Filter | None) -> "Sequence[Row]":
    from embedsvc.evaluation.speech import INDEX, REQUIRED, read_table

    rows = read_table(folder / INDEX, folder.name, REQUIRED)
    if wanted is None:
        return rows
    return [row for row in rows if filters.matches(wanted, row.metadata)]


def _probe(chosen: argparse.Namespace) -> "Probe":
    """The probe of a folder, of a server, or of the model."""
    from embedsvc.client import Client
    from embedsvc.encoder import resolve

    if chosen.target is not None:
        with tempfile.TemporaryDirectory(prefix="embedsvc-probe-") as name:
            with Client(chosen.target) as client:
                client.probes.export(chosen.probe, Path(name))
            return _read(Path(name))
    folder = Path(chosen.probe)
    if not folder.is_dir():
        folder = resolve(chosen.model).directory / "probes" / chosen.probe
    return _read(folder)


def _read(folder: Path) -> "Probe":
    from embedsvc.probes import from_files

    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise InvalidArgument(
            f"`PROBE` must be the name of one that comes with the model, or a folder with "
            f"{' and '.join(FILES)}, but {folder} has no {missing[0]}"
        )
    return from_files(*((folder / name).read_bytes() for name in FILES))


def _outcome(
    probe: "Probe",
    encoder: "Encoder",
    sets: "Mapping[str, Sequence[Row]]",
    chosen: argparse.Namespace,
    tell: "Tell",
) -> "Outcome":
    from embedsvc.evaluation.probing import Outcome, ask, cepstral, strangers, with_cepstra

    found, failed = ask(probe, encoder, sets, chosen.by, tell)
    baseline = None
    if chosen.baseline is not None:
        folders = chosen.baseline_sets or chosen.sets
        learned = {folder.name: _rows(folder, chosen.baseline) for folder in folders}
        heard, labels = _labeled(probe, encoder, learned, chosen.by, tell)
        baseline = cepstral(heard, labels)
    sounds = {} if chosen.no_sounds else strangers(probe, encoder)
    return Outcome(
        probe.info.name,
        probe.info.version,
        {name: with_cepstra(each, heard, baseline) for name, (heard, each) in found.items()},
        sounds,
        failed,
    )


def _labeled(
    probe: "Probe",
    encoder: "Encoder",
    sets: "Mapping[str, Sequence[Row]]",
    column: str,
    tell: "Tell",
) -> "tuple[Heard, Any]":
    """All clips of `sets` whose truth the probe has a label for, and these."""
    import numpy as np

    from embedsvc.evaluation.listening import listen, plans_of
    from embedsvc.evaluation.probing import label_of

    known = frozenset(probe.info.labels)
    rows = [row for each in sets.values() for row in each if label_of(row, column, known) in known]
    heard = listen(
        encoder, plans_of(encoder, probe.info.spaces), rows, lambda *at: tell("to learn on", *at)
    )
    return heard, np.array([label_of(row, column, known) for row in heard.rows], np.str_)


def _crossed(
    probe: "Probe", encoder: "Encoder", chosen: argparse.Namespace, tell: "Tell"
) -> "list[Crossing]":
    from embedsvc.evaluation.cross_corpus import crossings

    return list(
        crossings(
            {
                folder.name: _labeled(
                    probe, encoder, {folder.name: _rows(folder, None)}, chosen.by, tell
                )
                for folder in chosen.sets
            }
        )
    )


@contextmanager
def _telling() -> "Iterator[Callable[[str, int, int], None]]":
    """A bar for each set."""
    with progress() as bar:
        stages: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bar.add_task(stage, total=total)
            bar.update(stages[stage], completed=done, total=total)

        yield tell


def _show(outcome: "Outcome", crossed: "Sequence[Crossing]") -> None:
    from embedsvc.evaluation import probe_tables

    for line in outcome.failed[:_SHOWN_FAILURES]:
        say(line)
    for title, columns, rows in probe_tables.tables(outcome, _MOST_LABELS):
        table(title, columns, rows)
    if crossed:
        table(*probe_tables.crossed(crossed))


def _write(outcome: "Outcome", crossed: "Sequence[Crossing]", chosen: argparse.Namespace) -> None:
    from embedsvc.evaluation.answers import confusion
    from embedsvc.evaluation.heat import heat_map

    if chosen.json is not None:
        document = outcome.as_object() | {"crossed": [each.as_object() for each in crossed]}
        text = json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)
        chosen.json.write_text(text + "\n", encoding="utf-8")
        say(f"wrote {chosen.json}")
    if chosen.figure is not None:
        title = f"{outcome.name}: share of the clips of each row told as each column"
        picture = heat_map(title, confusion(outcome.whole.known))
        chosen.figure.write_text(picture + "\n", encoding="utf-8")
        say(f"wrote {chosen.figure}")
