"""`embedsvc evaluate encoder`: what the vectors of a model are good for, on speech it never had.

Every figure stands beside chance and beside mean cepstra. The model runs in this process: its
layers are compared, not its service.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli import evaluate_texts
from embedsvc.cli.output import progress, say, table
from embedsvc.errors import InvalidArgument
from embedsvc.types import Precision, Runtime
from embedsvc.version import version

if TYPE_CHECKING:
    from rich.progress import TaskID

    from embedsvc.encoder import Encoder
    from embedsvc.evaluation.encoder_tasks import Asked, Results, Tell
    from embedsvc.evaluation.speech import Row

TASKS = (
    "phones",
    "language-synthetic",
    "language-real",
    "content",
    "translations",
    "emotion",
    "speed",
    "robustness",
)
_SHOWN_FAILURES = 5


def add(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = what.add_parser("encoder", help="what are the vectors of a model good for?")
    parser.add_argument("--model", default="mini", help="bundled name, directory or Hub name")
    parser.add_argument("--speech", type=Path, metavar="DIR", help="a folder of sets of speech")
    parser.add_argument("--synthetic", type=Path, metavar="DIR", help="held-out synthetic speech")
    parser.add_argument("--only", nargs="+", choices=TASKS, metavar="TASK", help=", ".join(TASKS))
    parser.add_argument("--share", type=_share, default=1.0, help="part of the clips to use")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--card", type=Path, metavar="FILE", help="write a section of Markdown")
    parser.add_argument("--figure", type=Path, metavar="FILE.svg", help="draw figures by layer")
    parser.add_argument("--threads", type=int, default=2, help="of the encoder (default: 2)")
    parser.add_argument(
        "--precision", choices=list(Precision), default="fp32", help="default: fp32, which is exact"
    )
    parser.add_argument(
        "--runtime",
        choices=list(Runtime),
        default=Runtime.TORCH,
        help="onnxruntime for a directory that `models export` wrote; its layers alone",
    )
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Read, pass through the encoder, measure, show and write."""
    # Imported here: only this command needs an encoder and probes, and both are slow to import.
    from embedsvc.encoder import load_phone_head, resolve
    from embedsvc.evaluation import report
    from embedsvc.evaluation.embedding import Subject
    from embedsvc.evaluation.encoder_tasks import evaluate
    from embedsvc.pipeline import loading

    rows = _rows(chosen)
    runtime, precision = Runtime(chosen.runtime), Precision(chosen.precision)
    encoder = loading.load(chosen.model, chosen.threads, wanted=precision, runtime=runtime)
    # An export is of hidden states alone.
    head = load_phone_head(resolve(chosen.model)) if runtime is Runtime.TORCH else None
    subject = Subject(encoder, tuple(encoder.available), head, chosen.threads)
    with _telling() as tell:
        results = evaluate(subject, rows, _asked(chosen), tell)
    _say_faults(results)
    document = report.document(_about(encoder, chosen), results)
    for title, columns, cells in report.tables(results.measures):
        table(title, columns, cells)
    _write(chosen.json, json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False))
    _write(chosen.card, report.card(document["about"], results))
    _write(chosen.figure, report.curves(results.measures))
    return 0


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, but is {value:g}")
    return value


def _rows(chosen: argparse.Namespace) -> "Sequence[Row]":
    from embedsvc.evaluation.speech import SYNTHETIC, read_set, read_speech, thinned

    if chosen.speech is None and chosen.synthetic is None:
        raise InvalidArgument("`--speech` or `--synthetic` must say where clips are")
    speech = read_speech(chosen.speech) if chosen.speech else ()
    made = read_set(chosen.synthetic, SYNTHETIC) if chosen.synthetic else ()
    return thinned((*speech, *made), chosen.share)


def _asked(chosen: argparse.Namespace) -> "Asked":
    from embedsvc.evaluation.encoder_tasks import Asked

    why = evaluate_texts.fault()
    return Asked(tuple(chosen.only or TASKS), None if why else evaluate_texts.spell, why)


@contextmanager
def _telling() -> "Iterator[Tell]":
    """A bar for each stage, with the time that is left."""
    with progress() as bar:
        stages: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int | None) -> None:
            if stage not in stages:
                stages[stage] = bar.add_task(stage, total=total)
            bar.update(stages[stage], completed=done, total=total)

        yield tell


def _say_faults(results: "Results") -> None:
    for line in results.failed[:_SHOWN_FAILURES]:
        say(line)
    if len(results.failed) > _SHOWN_FAILURES:
        say(f"... and {len(results.failed) - _SHOWN_FAILURES} more clips that can not be used")
    for skipped in results.skipped:
        say(f"skipped {skipped.task}: {skipped.why}")


def _about(encoder: "Encoder", chosen: argparse.Namespace) -> Mapping[str, Any]:
    from embedsvc.types import OutputSpec, Windowing

    plan = encoder.plan(OutputSpec(), Windowing())
    return {
        "model": encoder.name,
        "weights": encoder.weights,
        "space": plan.space.fingerprint,
        "default_layer": plan.layer,
        "default_pooling": plan.pooling.value,
        "default_projection": plan.space.projection,
        "parameters": encoder.parameters,
        "runtime": encoder.runtime,
        "precision": encoder.precision,
        "precision_reason": encoder.why,
        "share": chosen.share,
        "threads": chosen.threads,
        "versions": _versions(),
    }


def _versions() -> Mapping[str, str]:
    from importlib import metadata

    names = ("torch", "numpy", "scipy", "scikit-learn", "soundfile", "soxr")
    found = {name: metadata.version(name) for name in names}
    return {"embedsvc": version(), "python": sys.version.split()[0], **found}


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
        say(f"wrote {path}")
