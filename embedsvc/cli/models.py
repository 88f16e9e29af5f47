"""`embedsvc models`: what there is, what a model is made of, and exports for other runtimes."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli.output import emit, say, table
from embedsvc.errors import EmbedsvcError
from embedsvc.types import ExportFormat

if TYPE_CHECKING:
    from embedsvc.encoder.onnx import Quality


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("models", help="list models; show, check or export one")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="models that come with the package (the default)")
    showing = actions.add_parser("show", help="load and check a model: its size, layers and hash")
    showing.add_argument("model", metavar="MODEL", help="mini, a directory, or OWNER/NAME")
    card = actions.add_parser("card", help="the model card of a bundled model")
    card.add_argument("model", metavar="MODEL")
    exporting = _add_export(actions)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    for action in (listing, showing, exporting):
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def _add_export(
    actions: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    parser = actions.add_parser(
        "export", help="write a model for another runtime, and compare it with its source"
    )
    parser.add_argument("model", metavar="MODEL", help="mini, a directory, or OWNER/NAME")
    parser.add_argument(
        "--format",
        choices=[each.value for each in ExportFormat],
        default=ExportFormat.ONNX.value,
        help="exact, or in whole numbers of 8 bits (default: onnx)",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="a new or an empty directory"
    )
    parser.add_argument(
        "--layers",
        metavar="N,N",
        type=_layers,
        default=(),
        help="what it can give (default: its default layer and the last); it ends at the deepest",
    )
    return parser


def _layers(text: str) -> tuple[int, ...]:
    """Layers from a list of them.

    >>> _layers("3,-1")
    (3, -1)
    """
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be whole numbers, but is {text!r}") from error


def run(chosen: argparse.Namespace) -> int:
    """Do what is asked."""
    from embedsvc.encoder import bundled

    if chosen.action == "card":
        print(_card(chosen.model))
        return 0
    if chosen.action == "export":
        _export(chosen)
        return 0
    names = [chosen.model] if chosen.action == "show" else bundled()
    described = [_describe(name) for name in names]
    if chosen.json:
        for each in described:
            emit(each)
    else:
        columns = ("model", "parameters>", "layers>", "dim>", "default", "heads", "weights")
        rows = [
            (
                each["name"],
                f"{each['parameters']:,}",
                each["layers"],
                each["dim"],
                _defaults(each),
                ", ".join(map(str, each["heads"])),
                str(each["weights"])[:16] + "…",
            )
            for each in described
        ]
        table("Models", columns, rows)
    return 0


def _describe(name: str) -> dict[str, Any]:
    from embedsvc.encoder import Checkpoint, Encoder
    from embedsvc.encoder.ctc import load_heads, resolve_ctc
    from embedsvc.encoder.waveform import WaveformEncoder

    checkpoint = resolve_ctc(name)
    heads = [head.info.name for head in load_heads(checkpoint)]
    if not isinstance(checkpoint, Checkpoint):
        # It reads samples: there is nothing to choose, since it only writes.
        body = WaveformEncoder.load(checkpoint)
        body.warm_up()
        return {
            "name": body.name,
            "parameters": body.parameters,
            "layers": body.layers,
            "dim": body.dim,
            "weights": body.weights,
            "heads": heads,
        }
    encoder = Encoder.load(checkpoint)
    encoder.warm_up()
    return {
        "name": encoder.name,
        "parameters": encoder.parameters,
        "layers": encoder.layers,
        "dim": encoder.dim,
        "weights": encoder.weights,
        "default_layer": encoder.defaults.layer,
        "default_pooling": encoder.defaults.pooling.value,
        "default_projection": encoder.defaults.projection,
        "heads": heads,
    }


def _defaults(described: Mapping[str, Any]) -> str:
    if "default_layer" not in described:
        return "-"
    return f"layer {described['default_layer']}, {described['default_pooling']}"


def _card(name: str) -> str:
    from embedsvc.encoder import resolve

    path = resolve(name).directory / "README.md"
    if not path.is_file():
        raise EmbedsvcError(f"{name} has no model card")
    return path.read_text(encoding="utf-8")


def _export(chosen: argparse.Namespace) -> None:
    from embedsvc.pipeline.exporting import export

    def tell(quality: "Quality") -> None:
        if chosen.json:
            emit(quality.document())
        else:
            _show_quality(quality)

    kind = ExportFormat(chosen.format)
    manifest = export(chosen.model, chosen.out, kind, chosen.layers, tell)
    size = sum(path.stat().st_size for path in chosen.out.iterdir())
    say(
        f"{chosen.out}: {size / 1e6:,.1f} MB, layers {', '.join(map(str, manifest.layers))}; "
        f"try: embedsvc serve --runtime onnxruntime --model {chosen.out}"
    )


def _show_quality(quality: "Quality") -> None:
    found = quality.fidelity
    rows = [
        (
            f"layer {each.layer}",
            f"{each.largest:.1e} of {each.scale:.1f}",
            f"{each.least_cosine:.6f}",
            f"{each.mean_cosine:.6f}",
        )
        for each in quality.layers
    ]
    vectors, scores = f"{found.least_pooled:.6f}", f"{found.most_score:.1e}"
    rows += [("default vectors", "", vectors, ""), ("scores between them", scores, "", "")]
    verdict = "near enough" if quality.is_enough else "NOT near enough"
    columns = ("of the export", "largest difference>", "least cosine>", "mean cosine>")
    table(f"{quality.precision}, compared with the source on speech: {verdict}", columns, rows)
