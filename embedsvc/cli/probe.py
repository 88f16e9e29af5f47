"""`embedsvc probe`: train, list, show, delete, export and import probes."""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from embedsvc.cli import connection, probe_training
from embedsvc.cli.embed import space_fields
from embedsvc.cli.output import emit, say, table
from embedsvc.client import Client
from embedsvc.types import ProbeInfo, Space

BASELINE = "baseline_"
FIRST = (
    "unweighted_accuracy",
    "accuracy",
    "macro_f1",
    "mean_average_precision",
    "mae",
    "rmse",
    "r2",
)
GUESSES = {
    "unweighted_accuracy": "chance",
    "mean_average_precision": "chance",
    "accuracy": "majority",
    "mae": "mae_of_the_mean",
    "rmse": "rmse_of_the_mean",
}
"""The figure of guessing that stands beside one."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("probe", help="train and manage probes")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    for name, text in (
        ("list", "all probes (the default)"),
        ("show", "one probe: what it was measured to do"),
        ("delete", "one probe, or one version of it"),
        ("export", "a probe as files, for another server"),
        ("import", "a probe of files"),
        ("train", "a probe on labelled speech"),
    ):
        # With defaults of its own, an action would undo the flags before it.
        action = actions.add_parser(name, help=text, argument_default=argparse.SUPPRESS)
        if name != "list":
            action.add_argument("probe", metavar="NAME", help="NAME, or NAME@VERSION")
        if name in {"export", "import"}:
            action.add_argument("folder", type=Path, metavar="FOLDER")
        if name == "train":
            probe_training.add_flags(action)
        connection.add_flags(action)
    connection.add_flags(parser)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what is asked."""
    with connection.connect(chosen) as client:
        match chosen.action:
            case "train":
                show(probe_training.train(client, chosen), as_json=chosen.json)
            case "show":
                show(client.probes.get(chosen.probe), as_json=chosen.json)
            case "delete":
                client.probes.delete(chosen.probe)
                say(f"deleted {chosen.probe}")
            case "export":
                say(f"wrote {client.probes.export(chosen.probe, chosen.folder)}")
            case "import":
                info = client.probes.import_(chosen.probe, chosen.folder)
                say(f"{info.name} is version {info.version} now")
            case _:
                _list(client, as_json=chosen.json)
    return 0


def _list(client: Client, *, as_json: bool) -> None:
    infos = client.probes.list()
    if as_json:
        for info in infos:
            emit(described(info))
        return
    rows = [
        (
            info.name,
            info.version or "bundled",
            info.task.replace("_", " "),
            len(info.labels) or "",
            ", ".join(map(space_text, info.spaces)),
            _first_figure(info.figures),
            info.license,
            time.strftime("%Y-%m-%d %H:%M", time.localtime(info.created_at)),
        )
        for info in infos
    ]
    columns = ("probe", "version>", "task", "labels>", "reads", "tested", "license", "created")
    table("Probes", columns, rows)


def show(info: ProbeInfo, *, as_json: bool) -> None:
    """A probe with its figures."""
    if as_json:
        emit(described(info))
        return
    facts = [
        ("version", info.version or "bundled"),
        ("task", info.task.replace("_", " ")),
        ("labels", ", ".join(info.labels)),
        ("reads", ", ".join(map(space_text, info.spaces))),
        ("license", info.license or "not said"),
        ("about", info.about),
    ]
    table(f"Probe {info.name}", ("", ""), [fact for fact in facts if fact[1]])
    if info.figures:
        columns = ("figure", "probe>", "MFCC>", "guessing>")
        table("On groups it was not trained on", columns, _figure_rows(info.figures))
    report = json.loads(info.report or "{}")
    _show_labels(report)
    for warning in report.get("warnings", ()):
        say(f"warning: {warning['message']}")


def _figure_rows(figures: Mapping[str, float]) -> list[tuple[str, ...]]:
    """Each figure beside that of a probe on cepstra, and of guessing."""
    guesses = {name: figures.get(beside) for name, beside in GUESSES.items()}
    first = [name for name in FIRST if name in figures]
    others = sorted(figures.keys() - {*first, *GUESSES.values()})
    return [
        (
            name.replace("_", " "),
            *map(_number, (figures[name], figures.get(f"{BASELINE}{name}"), guesses.get(name))),
        )
        for name in (*first, *others)
        if not name.startswith(BASELINE)
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _show_labels(report: Mapping[str, Any]) -> None:
    """The table of labels that a report has."""
    classes = report.get("test", {}).get("labels")
    if not isinstance(classes, dict) or not classes:
        return
    names = list(dict.fromkeys(name for each in classes.values() for name in each))
    rows = [
        (label, *(_cell(facts.get(name, "")) for name in names)) for label, facts in classes.items()
    ]
    table("Labels", ("label", *(f"{name.replace('_', ' ')}>" for name in names)), rows)


def _cell(value: object) -> object:
    return f"{value:.3f}" if isinstance(value, float) else value


def _first_figure(figures: Mapping[str, float]) -> str:
    for name in ("unweighted_accuracy", "macro_f1", "accuracy", "r2", "mae"):
        if name in figures:
            return f"{name.replace('_', ' ')} {figures[name]:.3f}"
    return ""


def space_text(space: Space) -> str:
    """A space in a few words."""
    projection = space.projection.partition(":")[0]
    return f"layer {space.layer} {space.pooling}{f' {projection}' if projection else ''}"


def described(info: ProbeInfo) -> dict[str, Any]:
    """A probe for JSON."""
    return {
        "name": info.name,
        "version": info.version,
        "bundled": not info.version,
        "task": info.task,
        "labels": list(info.labels),
        "spaces": [space_fields(space) for space in info.spaces],
        "figures": dict(info.figures),
        "report": json.loads(info.report or "{}"),
        "digest": info.digest,
        "license": info.license,
        "about": info.about,
        "created_at": info.created_at,
    }
