"""`embedsvc bench`: how fast the encoder, the service and the index are, and beside whom.

Each of its commands is in a file of its own; what they give is shown and written in one way here.
"""

import argparse
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli import bench_encoder, bench_search, bench_service, bench_streams
from embedsvc.cli.output import say, table

if TYPE_CHECKING:
    from embedsvc.bench.report import Result


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The commands and their flags."""
    parser = commands.add_parser("bench", help="measure speed, beside others and under load")
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    for module in (bench_encoder, bench_service, bench_streams, bench_search):
        added = module.add(what)
        added.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
        added.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
        added.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw charts there")
        added.set_defaults(run=run, measure=module.measure)


def run(chosen: argparse.Namespace) -> int:
    """Measure, then show and write what was found."""
    from embedsvc.bench import machine, plots, report

    what, result = chosen.measure(chosen)
    command = shlex.join(["embedsvc", *chosen.words])
    about = {"bench": chosen.what, **machine.about(command), **what}
    for title, columns, rows in report.tables(result):
        table(title, columns, rows)
    say(f"{machine.told(about)}; {about['what']}")
    _say_skipped(result)
    _write(chosen.json, _json(about, result))
    _write(chosen.markdown, report.markdown(about, result))
    _write(chosen.plot, plots.page(report.charts(result)))
    return 0


def _json(about: Mapping[str, Any], result: "Result") -> str:
    from embedsvc.bench import report

    document = report.document(about, result)
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False)


def _say_skipped(result: "Result") -> None:
    for name, why in getattr(result, "skipped", ()):
        say(f"skipped {name}: {why}")


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        say(f"wrote {path}")
