"""`embedsvc models`: what there is, and what a model is made of."""

import argparse

from embedsvc.cli.output import emit, table
from embedsvc.errors import EmbedsvcError


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("models", help="list models, or show and check one")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="models that come with the package (the default)")
    showing = actions.add_parser("show", help="load and check a model: its size, layers and hash")
    showing.add_argument("model", metavar="MODEL", help="mini, a directory, or OWNER/NAME")
    card = actions.add_parser("card", help="the model card of a bundled model")
    card.add_argument("model", metavar="MODEL")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    for action in (listing, showing):
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what is asked."""
    from embedsvc.encoder import bundled

    if chosen.action == "card":
        print(_card(chosen.model))
        return 0
    names = [chosen.model] if chosen.action == "show" else bundled()
    described = [_describe(name) for name in names]
    if chosen.json:
        for each in described:
            emit(each)
    else:
        columns = ("model", "parameters>", "layers>", "dim>", "default", "weights (SHA-256)")
        rows = [
            (
                each["name"],
                f"{each['parameters']:,}",
                each["layers"],
                each["dim"],
                f"layer {each['default_layer']}, {each['default_pooling']}",
                str(each["weights"])[:16] + "…",
            )
            for each in described
        ]
        table("Models", columns, rows)
    return 0


def _describe(name: str) -> dict[str, object]:
    from embedsvc.encoder import Encoder, resolve

    encoder = Encoder.load(resolve(name))
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
    }


def _card(name: str) -> str:
    from embedsvc.encoder import resolve

    path = resolve(name).directory / "README.md"
    if not path.is_file():
        raise EmbedsvcError(f"{name} has no model card")
    return path.read_text(encoding="utf-8")
