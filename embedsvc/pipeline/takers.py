"""Who takes what the encoder makes of the windows of one recording."""

from collections.abc import Iterable, Sequence
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
        return ask if self.listener is None else joined([ask, self.listener.ask(window)])

    def add(self, window: Window, encoded: Encoded, active: Active | None = None, /) -> None:
        """Take the answer for `window`."""
        if self.listener is None:
            self.tally.add(window, encoded)
            return
        asked = self.ask(window)
        self.tally.add(window, share(encoded, asked, self.tally.ask(window)))
        self.listener.add(window, share(encoded, asked, self.listener.ask(window)), active)


class Together:
    """Several takers of one pass, all of the same body."""

    def __init__(self, *takers: Taker) -> None:
        self._takers = takers
        self.body = takers[0].body
        self.hears = any(each.hears for each in takers)
        self.is_light = all(each.is_light for each in takers)

    def ask(self, window: Window) -> Ask:
        """What all of them want of `window`."""
        return joined([each.ask(window) for each in self._takers])

    def add(self, window: Window, encoded: Encoded, active: Active | None = None, /) -> None:
        """Take the answer for `window`; each gets what it asked for."""
        asked = self.ask(window)
        for each in self._takers:
            each.add(window, share(encoded, asked, each.ask(window)), active)


def joined(asks: Sequence[Ask]) -> Ask:
    """What all want: runs of any of them once, and frames from the first to the last kept."""
    kept = [ask.keep for ask in asks if ask.keep]
    return Ask(
        layers=tuple(sorted({layer for ask in asks for layer in ask.layers})),
        keep=(min(first for first, _ in kept), max(end for _, end in kept)) if kept else None,
        runs=tuple(dict.fromkeys(run for ask in asks for run in ask.runs)),
    )


def share(encoded: Encoded, asked: Ask, own: Ask) -> Encoded:
    """Of the answer to what was `asked` for several, that to `own`; it may have more layers."""
    if own.keep is not None and asked.keep is not None and own.keep != asked.keep:
        start, end = own.keep[0] - asked.keep[0], own.keep[1] - asked.keep[0]
        frames = {layer: part[start:end] for layer, part in encoded.frames.items()}
        encoded = replace(encoded, frames=frames)
    if own.runs and own.runs != asked.runs:
        places = [asked.runs.index(run) for run in own.runs]
        moments = {
            layer: tuple(parts[place] for place in places)
            for layer, parts in encoded.moments.items()
        }
        encoded = replace(encoded, moments=moments)
    return encoded


def by_body(takers: Iterable[Taker]) -> list[Taker]:
    """Those that have a pass of their own: takers of one body share one."""
    bodies: dict[Body, list[Taker]] = {}
    for each in takers:
        bodies.setdefault(each.body, []).append(each)
    return [each[0] if len(each) == 1 else Together(*each) for each in bodies.values()]
