"""Steps captured as CUDA graphs: a small batch takes the device less time than its start the host.

A capture is of one shape and reads and writes the same memory whenever it runs again, so each shape
has buffers that one pass uses at a time.
"""

import threading
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

Work = Callable[[], None]
Capture = Callable[[Work], Work]
"""Gives what does the same work again, on the same memory; it need not do it now."""

Step = Callable[[int, Tensor, Tensor], Tensor]
"""States (B, R, C) of the layer after one, from the number of its block, states and lengths."""

OFTEN = 3
"""Passes of a shape until it is captured; the first also loads all that a capture may not load."""

MOST_SHAPES = 32
MOST_FRAMES = 4096
"""Padded frames of a batch above which the device is busy for longer than the host. Not measured:
from some 2 ms that the host may take for 24 blocks, and 1.2 GFLOP for a frame in all of them.
"""


class Cuda:
    """Captures for a GPU. All share scratch memory, since one pass runs them, one by one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, work: Work) -> Work:
        """Record `work` without doing it."""
        graph = torch.cuda.CUDAGraph()
        # What other threads do with the device meanwhile is no part of it, and no mistake.
        with (
            torch.cuda.device(self._device),
            torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
        ):
            work()
        again: Work = graph.replay
        return again


class Shape:
    """The captured steps of one shape, as many as any pass needed, and their memory."""

    def __init__(self, states: Tensor, lengths: Tensor) -> None:
        self.lock = threading.Lock()
        self.steps: list[Work] = []
        self.states = torch.empty_like(states)
        self._lengths = torch.empty_like(lengths)

    def fill(self, states: Tensor, lengths: Tensor) -> None:
        """Begin a pass."""
        self.states.copy_(states)
        self._lengths.copy_(lengths)

    def work(self, block: int, step: Step) -> None:
        """Replace the states by those after a block."""
        self.states.copy_(step(block, self.states, self._lengths))


class Graphs:
    """Shapes that came often, those not used for longest given up for others.

    After a capture that failed, `failure` says why, and nothing is captured any more.
    """

    def __init__(self, step: Step, capture: Capture, most: int = MOST_SHAPES) -> None:
        self.failure = ""
        self._step = step
        self._capture = capture
        self._most = most
        self._seen: Counter[tuple[int, ...]] = Counter()
        self._shapes: OrderedDict[tuple[int, ...], Shape] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def captured(self) -> int:
        """How many shapes."""
        return len(self._shapes)

    @contextmanager
    def claimed(self, states: Tensor, lengths: Tensor) -> Iterator[Callable[[int], Tensor] | None]:
        """What gives the states after a block, block by block; None if the shape has no capture.

        One pass has a shape at a time; another that comes meanwhile goes without.
        """
        with self._lock:
            shape = self._shape(states, lengths)
        if shape is None or not shape.lock.acquire(blocking=False):
            yield None
            return
        try:
            shape.fill(states, lengths)
            yield partial(self._advance, shape)
        finally:
            shape.lock.release()

    def _shape(self, states: Tensor, lengths: Tensor) -> Shape | None:
        key = tuple(states.shape)
        if self.failure or key[0] * key[1] > MOST_FRAMES:
            return None
        if key not in self._shapes:
            self._seen[key] += 1
            if self._seen[key] < OFTEN:
                return None
            if len(self._shapes) == self._most:
                gone, _ = self._shapes.popitem(last=False)
                self._seen[gone] = 0
            self._shapes[key] = Shape(states, lengths)
        self._shapes.move_to_end(key)
        return self._shapes[key]

    def _advance(self, shape: Shape, block: int) -> Tensor:
        """Blocks come in order, so that the next to be captured is behind those that are."""
        work = partial(shape.work, block, self._step)
        if block == len(shape.steps) and not self.failure:
            try:
                shape.steps.append(self._capture(work))
            except RuntimeError as error:
                self._give_up(error)
        (shape.steps[block] if block < len(shape.steps) else work)()
        return shape.states

    def _give_up(self, error: RuntimeError) -> None:
        (self.failure, *_) = f"{type(error).__name__}: {error}".splitlines()
        self._shapes.clear()
        message = f"no CUDA graphs from now on: {self.failure}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
