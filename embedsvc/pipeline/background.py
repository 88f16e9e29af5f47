"""Vectors of what is not speech, for probes to learn what they do not know."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embedsvc.batching import Terms
from embedsvc.encoder import Plan
from embedsvc.files import disk_errors, replace_file
from embedsvc.operations import Progress, Tell
from embedsvc.pipeline.embedder import Embedder, Wish
from embedsvc.probes import sounds
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import Floats, Lane, PcmFormat, Pooling, SampleFormat, Source

SEED = 1
EDITION = 1
"""Raised whenever `sounds` changes, so that vectors of before are not taken for those of now."""

AT_ONCE = 8
FRAMES_OF_ONE = 8
"""Kept of one sound at frame level, evenly spread."""

_FORM = PcmFormat(SampleFormat.F32, SAMPLE_RATE)


class Background:
    """Embeds synthetic sounds once in each space, and keeps the vectors in a folder."""

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self._embedder = embedder
        self._folder = folder

    async def vectors(self, plans: Sequence[Plan], tell: Tell) -> Floats:
        """Vectors (m, D) in the spaces of `plans` side by side; plans of one windowing."""
        missing = [plan for plan in plans if not self._path(plan).is_file()]
        if missing:
            await self._make(missing, tell)
        return await asyncio.to_thread(self._read, plans)

    async def _make(self, plans: Sequence[Plan], tell: Tell) -> None:
        every = await asyncio.to_thread(lambda: [samples for _, samples in sounds(SEED)])
        names = tuple(str(place) for place in range(len(plans)))
        wish = Wish(names, tuple(plans), plans[0].space.windowing)
        terms = Terms(Lane.BULK, patient=True)
        rows: list[list[Floats]] = [[] for _ in plans]
        for start in range(0, len(every), AT_ONCE):
            tell(Progress(start, len(every), "embedding sounds that are not speech"))
            found = await asyncio.gather(
                *(
                    self._embedder.embed(
                        Source(samples.astype("<f4").tobytes(), _FORM), wish, terms
                    )
                    for samples in every[start : start + AT_ONCE]
                )
            )
            for embedding in found:
                for mine, output in zip(rows, embedding.outputs, strict=True):
                    mine.append(_thinned(output.array, output.space.pooling))
        await asyncio.to_thread(self._keep, plans, [np.concatenate(mine) for mine in rows])

    def _keep(self, plans: Sequence[Plan], arrays: Sequence[Floats]) -> None:
        with disk_errors():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for plan, array in zip(plans, arrays, strict=True):
                replace_file(self._path(plan), np.ascontiguousarray(array, "<f4").data.cast("B"))

    def _read(self, plans: Sequence[Plan]) -> Floats:
        parts = [np.fromfile(self._path(plan), "<f4").reshape(-1, plan.space.dim) for plan in plans]
        return np.hstack(parts)

    def _path(self, plan: Plan) -> Path:
        return self._folder / f"{plan.space.fingerprint}-{EDITION}-{SEED}.f32"


def _thinned(array: Floats, pooling: Pooling) -> Floats:
    """The vector as a row, or some of the frames."""
    if pooling is not Pooling.NONE:
        return array[None]
    count = min(len(array), FRAMES_OF_ONE)
    kept: Floats = array[np.linspace(0, len(array) - 1, count).astype(int)]
    return kept
