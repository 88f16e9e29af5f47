"""`embedsvc COMMAND ...`: exit code 0 when done, 1 when it failed, 2 when it was misused."""

import argparse
import sys
from typing import NoReturn

from embedsvc.cli import (
    align,
    bench,
    classify,
    collections,
    demo,
    doctor,
    embed,
    evaluate,
    index,
    languages,
    mine,
    models,
    probe,
    search,
    serve,
    train,
    transcribe,
)
from embedsvc.cli.output import say
from embedsvc.errors import DataDirectoryInUse, EmbedsvcError
from embedsvc.version import version

COMMANDS = (
    serve,
    demo,
    embed,
    index,
    search,
    mine,
    collections,
    classify,
    transcribe,
    probe,
    models,
    languages,
    train,
    align,
    evaluate,
    bench,
    doctor,
)


def parser() -> argparse.ArgumentParser:
    """Every command and its flags."""
    root = argparse.ArgumentParser(
        prog="embedsvc",
        description="Multilingual speech embeddings and search by audio.",
        epilog="Client commands talk to --target HOST:PORT; without it they run the service in "
        "this process, on the collections of --data.",
    )
    root.add_argument("--version", action="version", version=f"embedsvc {version()}")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands)
    return root


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit code."""
    words = sys.argv[1:] if arguments is None else arguments
    chosen = parser().parse_args(_joined(words))
    chosen.words = words
    try:
        code: int = chosen.run(chosen)
    except EmbedsvcError as error:
        say(f"embedsvc {chosen.command}: {error}")
        if isinstance(error, DataDirectoryInUse):
            say("if that is a server, use --target HOST:PORT; or choose another --data")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; Python must not complain at exit.
        sys.stdout = None
        return 0
    except OSError as error:
        say(f"embedsvc {chosen.command}: {error}")
        return 1
    return code


def _joined(words: list[str]) -> list[str]:
    """Arguments, where `transcribe calibrate` is one word; a file of that name is `./calibrate`."""
    if words[:2] != ["transcribe", "calibrate"]:
        return words
    return [" ".join(words[:2]), *words[2:]]


def run() -> NoReturn:
    """The console script."""
    sys.exit(main())
