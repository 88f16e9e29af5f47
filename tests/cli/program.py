"""Running the real program."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

Ended = subprocess.CompletedProcess[str]
Program = Callable[..., Ended]


def command(*arguments: object) -> list[str]:
    """The program with these arguments."""
    return [sys.executable, "-m", "embedsvc", *map(str, arguments)]


def objects(ended: Ended) -> list[dict[str, Any]]:
    """Stdout as programs read it: every line an object."""
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert all(isinstance(each, dict) for each in found)
    return found
