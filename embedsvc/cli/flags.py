"""Types of flags that several commands have; argparse tells which was wrong."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from embedsvc.types import OutputSpec

Part = TypeVar("Part")


def count(text: str) -> int:
    """A whole number, at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, but is {value}")
    return value


def positive(text: str) -> float:
    """A finite number above 0."""
    value = float(text)
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"must be above 0, but is {text}")
    return value


def space(text: str) -> OutputSpec:
    """NAME=PROFILE, a space of a new collection."""
    name, _, profile = text.partition("=")
    if not name or not profile:
        raise argparse.ArgumentTypeError(f"must be NAME=PROFILE, but is {text}")
    return OutputSpec(name, profile=profile)


def named_path(text: str) -> tuple[str, Path]:
    """NAME=PATH."""
    name, _, path = text.partition("=")
    if not name or not path:
        raise argparse.ArgumentTypeError(f"must be NAME=PATH, but is {text}")
    return name, Path(path)


def add_texts(parser: argparse.ArgumentParser) -> None:
    """Which texts a new collection keeps."""
    parser.add_argument(
        "--texts",
        action="append",
        metavar="HEAD",
        help="keep what this head writes, for `search --text`; may be repeated",
    )


def listed(part: Callable[[str], Part]) -> Callable[[str], list[Part]]:
    """Parts with commas between them."""

    def read(text: str) -> list[Part]:
        return [part(each.strip()) for each in text.split(",") if each.strip()]

    read.__name__ = "list"  # what argparse calls it when it is wrong
    return read
