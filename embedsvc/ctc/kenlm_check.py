"""The process that reads a language model before the server does: it may die of it.

`python -m embedsvc.ctc.kenlm_check FILE` with words on the lines of its standard input ends with 0
if all of them were scored.
"""

import random
import resource
import sys
from pathlib import Path

from embedsvc.ctc.kenlm import KenLm
from embedsvc.errors import FailedPrecondition

_MEMORY = 2 << 30
_MEMORY_SHARE = 4
"""Bytes of address space, and as many for each byte of the file: an ARPA file takes about two."""

_STEPS = 200_000
_SENTENCE = 8


def main() -> int:
    """Read and ask; 1 for a file that is refused."""
    path = Path(sys.argv[1])
    most = _MEMORY + _MEMORY_SHARE * path.stat().st_size
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    words = sys.stdin.buffer.read().decode().split("\n")
    try:
        _ask(KenLm(path, words), len(words))
    except (FailedPrecondition, MemoryError):
        return 1
    return 0


def _ask(model: KenLm, words: int) -> None:
    """Each word by itself, then sentences of any words."""
    for word in range(words + 1):
        model.finish(model.score(model.start(boundary=True), word)[0])
    chosen = random.Random(0)  # noqa: S311 - the same each time
    for _ in range(_STEPS // _SENTENCE):
        state = model.start(boundary=True)
        for _ in range(_SENTENCE):
            state, _score = model.score(state, chosen.randrange(words + 1))
        model.finish(state)


if __name__ == "__main__":
    raise SystemExit(main())
