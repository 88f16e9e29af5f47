"""From how sure a head is to how often it is right: a temperature and a curve."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedsvc.ctc.confidence import ConfidenceMeasure
from embedsvc.errors import InvalidArgument

MOST_KNOTS = 1024
COOLEST, HOTTEST = 1 / 32, 32.0
"""Temperatures that are believed; those of heads lie between 0.5 and 4."""


@dataclass(frozen=True)
class Calibration:
    """What turns the raw confidence of a head into the share of tokens that are right.

    Logits are divided by `temperature`, and confidence is read off the line through `told` at
    `raw`, both rising and flat beyond their ends; no knots leave it as it is.
    """

    measure: ConfidenceMeasure = ConfidenceMeasure.PROBABILITY
    temperature: float = 1.0
    raw: tuple[float, ...] = ()
    told: tuple[float, ...] = ()

    @property
    def method(self) -> str:
        """Name of the method, such as `entropy/v1` or `entropy+isotonic/v1`."""
        heat = "+temperature" if self.temperature != 1 else ""
        curve = "+isotonic" if self.raw else ""
        return f"{self.measure}{heat}{curve}/v1"

    def calibrated(self, confidence: float) -> float:
        """The share of tokens of that raw confidence that are right."""
        return float(np.interp(confidence, self.raw, self.told)) if self.raw else confidence

    def to_json(self) -> dict[str, Any]:
        """Plain values to store."""
        return {
            "measure": self.measure.value,
            "temperature": self.temperature,
            "raw": list(self.raw),
            "told": list(self.told),
        }


def from_json(found: Any) -> Calibration:
    """The calibration of `to_json`; raises InvalidArgument for what is none, from anyone."""
    if not isinstance(found, Mapping) or found.keys() != Calibration().to_json().keys():
        raise _wrong("an object of measure, temperature, raw and told")
    if found["measure"] not in list(ConfidenceMeasure):
        raise _wrong(f"`measure` is one of {', '.join(ConfidenceMeasure)}")
    temperature = found["temperature"]
    if not _is_number(temperature) or not COOLEST <= temperature <= HOTTEST:
        raise _wrong(f"`temperature` is a number from {COOLEST} to {HOTTEST}")
    raw, told = _knots(found["raw"], "raw"), _knots(found["told"], "told")
    if len(raw) != len(told) or len(set(raw)) < len(raw):
        raise _wrong("`raw` are different numbers, as many as `told`")
    return Calibration(ConfidenceMeasure(found["measure"]), float(temperature), raw, told)


def _knots(found: Any, name: str) -> tuple[float, ...]:
    if not isinstance(found, Sequence) or isinstance(found, str) or len(found) > MOST_KNOTS:
        raise _wrong(f"`{name}` is a list of at most {MOST_KNOTS} numbers")
    if not all(_is_number(each) and 0 <= each <= 1 for each in found):
        raise _wrong(f"`{name}` are numbers from 0 to 1")
    if list(found) != sorted(found):
        raise _wrong(f"`{name}` never falls")
    return tuple(map(float, found))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _wrong(why: str) -> InvalidArgument:
    return InvalidArgument(f"`calibration` must be of a head: {why}", field="calibration")
