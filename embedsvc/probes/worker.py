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
from contextlib import suppress
from pathlib import Path
from typing import Any

from embedsvc.errors import EmbedsvcError, Exhausted
from embedsvc.probes.training import train
from embedsvc.probes.workplace import Workplace
from embedsvc.types import ProbeRecipe, ProbeTask

NICENESS = 19
"""A sixtieth or so of the processor while others want it."""

OUT_OF_MEMORY = Path("/proc/self/oom_score_adj")
FIRST_TO_END = "1000"
"""When memory is out, the system ends this process and not the server (proc_pid_oom_score_adj(5)).
"""

TELL_SECONDS = 0.1


def main() -> int:
    """Train what the order in the folder says."""
    os.nice(NICENESS)
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with suppress(OSError):
        OUT_OF_MEMORY.write_text(FIRST_TO_END)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    place = Workplace(Path(sys.argv[1]))
    order = place.order()
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
    except MemoryError:
        say(
            reason=Exhausted.reason,
            message="the training needs more memory than there is: train on fewer examples",
            field="",
        )
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
    # Not through `sys.stdin`, whose lock the interpreter wants when it ends.
    while os.read(0, 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
