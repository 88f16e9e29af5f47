"""The form of every result: a figure for each kind of vector, with chance beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embedsvc.evaluation.clips import DEFAULT, LAYER

VALUE = "value"
"""Name of a figure that is of the model as a whole."""


@dataclass(frozen=True)
class Measure:
    """One figure of one task; `values` are by kind of vector, or `VALUE` alone.

    `chosen` is the layer that another measure chose, so that it is not the best on the test.
    """

    task: str
    name: str
    figure: str
    values: Mapping[str, float]
    chance: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    chosen: str = ""
    falling: bool = False

    @property
    def layers(self) -> dict[int, float]:
        """The figure of each layer."""
        mark = f"{LAYER} "
        return {
            int(name.removeprefix(mark)): value
            for name, value in self.values.items()
            if name.startswith(mark)
        }

    @property
    def best(self) -> int | None:
        """The layer with the best figure; the lower one of two."""
        layers = self.layers
        if not layers:
            return None
        pick = min if self.falling else max
        return pick(layers, key=lambda layer: layers[layer])

    @property
    def headline(self) -> tuple[str, float]:
        """The kind of vector to judge by, and its figure: fixed before the test was seen.

        The chosen layer where there is one, else the default space, else the whole model.
        """
        for name in (self.chosen, DEFAULT, VALUE):
            if name in self.values:
                return name, self.values[name]
        return next(iter(self.values.items()))

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        name, value = self.headline
        return {
            "headline": {"of": name, "value": value},
            "values": dict(self.values),
            "best_layer": self.best,
            "chance": self.chance,
            "counts": dict(self.counts),
            "note": self.note,
            "chosen": self.chosen,
            "lower_is_better": self.falling,
        }


@dataclass(frozen=True)
class Skipped:
    """A task, or a part of one, that was not measured."""

    task: str
    why: str
