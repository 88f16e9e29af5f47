"""Commands whose names are settled and which this version does not have."""

import argparse

from embedsvc.errors import Unimplemented

COMMANDS = {
    "transcribe": "write down speech",
}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The commands; any arguments are accepted, and none is used."""
    for name, text in COMMANDS.items():
        # Without a prefix that can be typed, flags are arguments like any other.
        parser = commands.add_parser(
            name, help=f"{text} (not in this version)", prefix_chars="\0", add_help=False
        )
        parser.add_argument("arguments", nargs="*")
        parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Say so."""
    raise Unimplemented(f"this version cannot {COMMANDS[chosen.command]}")
