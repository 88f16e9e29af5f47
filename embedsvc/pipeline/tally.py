"""Joins what the windows of one recording gave, on the recording's own time axis.

A window answers for the frames of its core. Pooled outputs keep only moments, so that an hour
costs no more memory than a second; frames are kept only where they were asked for. Codes are
made of them window by window.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import numpy as np

from embedsvc.audio import core_frames
from embedsvc.encoder import merge
from embedsvc.encoder.ctc import SERVED
from embedsvc.errors import MessageTooLarge
from embedsvc.moments import Coder, Recipe
from embedsvc.timing import FRAME
from embedsvc.types import Ask, Codes, Encoded, Floats, Moments, Window


class Tally:
    """The sum of the windows so far.

    `cell` is a number of frames: moments are kept apart for each cell of the recording, to be
    merged into segments later; None keeps them in one. Of `frame_layers` the frames themselves
    are kept, at most `frame_limit`. With a `recipe`, codes of frames are made.
    """

    body = SERVED
    hears = False
    is_light = True

    def __init__(
        self,
        layers: Sequence[int],
        *,
        frame_layers: AbstractSet[int] = frozenset(),
        cell: int | None = None,
        frame_limit: int | None = None,
        recipe: Recipe | None = None,
    ) -> None:
        self._recipe = recipe
        self._coder = None if recipe is None else Coder(recipe)
        self._layers = tuple(sorted({*layers, *([] if recipe is None else [recipe.layer])}))
        self._cell = cell
        self._frame_limit = frame_limit
        self._frames: dict[int, list[Floats]] = {layer: [] for layer in frame_layers}
        self._cells: dict[int, dict[int, list[Moments]]] = {layer: {} for layer in self._layers}
        self.frame_count = 0
        self.samples = 0

    def ask(self, window: Window) -> Ask:
        """What to ask the encoder about `window`."""
        core = core_frames(window)
        runs = tuple((start, end) for _, start, end in self._runs(window))
        kept = bool(self._frames) or self._recipe is not None
        return Ask(self._layers, keep=core if kept else None, runs=runs)

    def add(self, window: Window, encoded: Encoded, _active: object = None, /) -> None:
        """Take the answer for `window`; windows come in order."""
        start, end = core_frames(window)
        self.frame_count += end - start
        self.samples = window.core.end
        if self._frames and self._frame_limit and self.frame_count > self._frame_limit:
            raise MessageTooLarge(
                f"the answer must be at most {self._frame_limit} frames, but would be more; "
                "pool them, or ask for FLOAT16 or fewer outputs",
                field="options.outputs",
                max_frames=self._frame_limit,
            )
        for layer, frames in self._frames.items():
            frames.append(encoded.frames[layer])
        if self._recipe is not None and self._coder is not None:
            self._coder.push(encoded.frames[self._recipe.layer])
        for layer in self._layers:
            cells = self._cells[layer]
            for (cell, _, _), moments in zip(
                self._runs(window), encoded.moments[layer], strict=True
            ):
                cells.setdefault(cell, []).append(moments)

    def frames(self, layer: int) -> Floats:
        """All frames of a layer (T, D), joined."""
        return np.concatenate(self._frames[layer])

    def codes(self) -> Codes | None:
        """The codes of the whole recording, when there is a recipe; to be asked once."""
        return None if self._coder is None else self._coder.finish()

    def whole(self, layer: int) -> Moments:
        """The moments of the whole recording."""
        return merge([moments for cell in self._cells[layer].values() for moments in cell])

    def cells(self, layer: int) -> list[Moments]:
        """The moments of each cell, in order."""
        return [merge(self._cells[layer][cell]) for cell in sorted(self._cells[layer])]

    def _runs(self, window: Window) -> list[tuple[int, int, int]]:
        """(cell, start, end) of each piece of the core, in the window's own frames."""
        start, end = core_frames(window)
        if not self._cell:
            return [(0, start, end)]
        offset = window.span.start // FRAME
        pieces = []
        while start < end:
            cell = (offset + start) // self._cell
            edge = min(end, (cell + 1) * self._cell - offset)
            pieces.append((cell, start, edge))
            start = edge
        return pieces
