"""Who takes what the encoder makes of the windows of one recording."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from embedsvc.batching import Ran
from embedsvc.encoder.ctc import SERVED, Body
from embedsvc.pipeline.listening import Active, Listener
from embedsvc.pipeline.tally import Tally
from embedsvc.types import Ask, Encoded, Window

AnyTaker = TypeVar("AnyTaker", bound="Taker")


class Taker(Protocol):
    """What takes the answers of a `body` for the windows of one recording.

    With `hears` it is also told which frames of a window hold sound; unless it `is_light`, it is
    called in a thread.
    """

    body: Body
    hears: bool
    is_light: bool

    def ask(self, window: Window) -> Ask:
        """What to ask the encoder about `window`."""
        ...

    def add(self, window: Window, encoded: Encoded, active: Active | None = None, /) -> None:
        """Take the answer for `window`; windows come in order."""
        ...


@dataclass(frozen=True)
class Passed:
    """What the encoder made of a window, and which frames of its core hold sound."""

    ran: Ran
    active: Active | None


class Both:
    """What is embedded and what probes hear, from one pass."""

    body = SERVED

    def __init__(self, tally: Tally, listener: Listener | None) -> None:
        self.tally = tally
        self.listener = listener
        self.hears = listener is not None
        self.is_light = listener is None or listener.is_light

    def ask(self, window: Window) -> Ask:
        """What both want of `window`."""
        ask = self.tally.ask(window)
        if self.listener is None:
            return ask
        more = self.listener.ask(window)
        assert more.runs == ask.runs, "both want the whole core"
        layers = tuple(sorted({*ask.layers, *more.layers}))
        return Ask(layers, keep=ask.keep or more.keep, runs=ask.runs)

    def add(self, window: Window, encoded: Encoded, active: Active | None = None, /) -> None:
        """Take the answer for `window`."""
        self.tally.add(window, encoded)
        if self.listener is not None:
            self.listener.add(window, encoded, active)


class Together:
    """Several takers of one pass, all of the same body."""

    def __init__(self, *takers: Taker) -> None:
        self._takers = takers
        self.body = takers[0].body
        self.hears = any(each.hears for each in takers)
        self.is_light = all(each.is_light for each in takers)

    def ask(self, window: Window) -> Ask:
        """What all of them want of `window`."""
        asks = [each.ask(window) for each in self._takers]
        kept, runs = [ask.keep for ask in asks if ask.keep], {ask.runs for ask in asks if ask.runs}
        assert len(runs) <= 1, "whoever wants moments wants those of the core"
        return Ask(
            layers=tuple(sorted({layer for ask in asks for layer in ask.layers})),
            keep=(min(first for first, _ in kept), max(end for _, end in kept)) if kept else None,
            runs=next(iter(runs), ()),
        )

    def add(self, window: Window, encoded: Encoded, active: Active | None = None, /) -> None:
        """Take the answer for `window`; each gets the frames that it asked for."""
        kept = self.ask(window).keep
        for each in self._takers:
            own = each.ask(window).keep
            given = encoded
            if own is not None and kept is not None and own != kept:
                start, end = own[0] - kept[0], own[1] - kept[0]
                frames = {layer: part[start:end] for layer, part in encoded.frames.items()}
                given = replace(encoded, frames=frames)
            each.add(window, given, active)


def by_body(takers: Iterable[Taker]) -> list[Taker]:
    """Those that have a pass of their own: takers of one body share one."""
    bodies: dict[Body, list[Taker]] = {}
    for each in takers:
        bodies.setdefault(each.body, []).append(each)
    return [each[0] if len(each) == 1 else Together(*each) for each in bodies.values()]
