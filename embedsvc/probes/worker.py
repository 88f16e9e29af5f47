"""The process that trains a probe: `python -m embedsvc.probes.worker FOLDER < PIPE`.

A training is minutes of arithmetic. In a process of its own it takes neither the interpreter nor
the threads of those who serve, yields the processor to them, and can be ended at any moment. It
reads a `Workplace`, tells of its progress in lines of JSON on stdout, and ends when its stdin does.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from embedsvc.errors import EmbedsvcError
from embedsvc.probes.training import train
from embedsvc.probes.workplace import Workplace
from embedsvc.types import ProbeRecipe, ProbeTask

NICENESS = 19
"""A sixtieth or so of the processor while others want it."""

TELL_SECONDS = 0.1

ORDER_FILE = "order.json"


def main() -> int:
    """Train what the order in the folder says."""
    os.nice(NICENESS)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    place = Workplace(Path(sys.argv[1]))
    order = json.loads((place.folder / ORDER_FILE).read_bytes())
    try:
        probe = train(
            order["name"],
            order["version"],
            place.examples(),
            recipe_of(order["recipe"]),
            background=place.background(),
            license=order["license"],
            about=order["about"],
            tell=_Teller(),
        )
        place.put(probe)
    except EmbedsvcError as error:
        say(reason=error.reason, message=error.message, field=error.field)
        return 0
    say(ended=True)
    return 0


def recipe_of(facts: dict[str, Any]) -> ProbeRecipe:
    """The recipe of `dataclasses.asdict`, by way of JSON."""
    strengths = tuple(facts["strengths"])
    return ProbeRecipe(**{**facts, "task": ProbeTask(facts["task"]), "strengths": strengths})


def say(**facts: object) -> None:
    """A line for whoever started this process."""
    print(json.dumps(facts), flush=True)  # noqa: T201  # that is how it speaks


class _Teller:
    """Tells of progress, but not of every step."""

    def __init__(self) -> None:
        self._told = 0.0

    def __call__(self, done: int, total: int, what: str) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            say(done=done, total=total, what=what)


def _end_with_stdin() -> None:
    """Whoever wanted the probe is gone when the pipe is closed, even if it was killed."""
    sys.stdin.buffer.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
