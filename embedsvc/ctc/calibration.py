"""From how sure a head is to how often it is right: a temperature, and curves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedsvc.ctc.confidence import ConfidenceMeasure, geometric_mean
from embedsvc.errors import InvalidArgument

MOST_KNOTS = 1024
COOLEST, HOTTEST = 1 / 32, 32.0
"""Temperatures that are believed; those of heads lie between 0.5 and 4."""


@dataclass(frozen=True)
class WordCurve:
    """From the product of the confidences of a word's tokens to the share of words that are right.

    A word is right where all of it is, so a long one is less often than its tokens are; and it
    begins and ends with a space, of which its tokens tell nothing. Read off the line through `told`
    at `raw`.
    """

    raw: tuple[float, ...]
    told: tuple[float, ...]


@dataclass(frozen=True)
class Calibration:
    """What turns how sure a head is into the share of tokens, and of words, that are right.

    Logits are divided by `temperature`, and confidence is read off the line through `told` at
    `raw`, both rising and flat beyond their ends; no knots leave it as it is. Without `words` the
    confidence of a word is the geometric mean of that of its tokens.
    """

    measure: ConfidenceMeasure = ConfidenceMeasure.PROBABILITY
    temperature: float = 1.0
    raw: tuple[float, ...] = ()
    told: tuple[float, ...] = ()
    words: WordCurve | None = None

    @property
    def method(self) -> str:
        """Name of the method, such as `entropy/v1` or `entropy+isotonic/v1`."""
        heat = "+temperature" if self.temperature != 1 else ""
        curve = "+isotonic" if self.raw else ""
        words = "+words" if self.words else ""
        return f"{self.measure}{heat}{curve}{words}/v1"

    def calibrated(self, confidence: float) -> float:
        """The share of tokens of that raw confidence that are right."""
        return float(np.interp(confidence, self.raw, self.told)) if self.raw else confidence

    def of_word(self, tokens: Sequence[float]) -> float:
        """Confidence in a word whose tokens have these."""
        if self.words is None:
            return geometric_mean(tokens)
        return float(np.interp(math.prod(tokens), self.words.raw, self.words.told))

    def to_json(self) -> dict[str, Any]:
        """Plain values to store."""
        words = self.words and {"raw": list(self.words.raw), "told": list(self.words.told)}
        return {
            "measure": self.measure.value,
            "temperature": self.temperature,
            "raw": list(self.raw),
            "told": list(self.told),
        } | ({"words": words} if words else {})


def from_json(found: Any) -> Calibration:
    """The calibration of `to_json`; raises InvalidArgument for what is none, from anyone."""
    fields = Calibration().to_json().keys()
    if not isinstance(found, Mapping) or found.keys() - {"words"} != fields:
        raise _wrong("an object of measure, temperature, raw and told, and words if there are some")
    if found["measure"] not in list(ConfidenceMeasure):
        raise _wrong(f"`measure` is one of {', '.join(ConfidenceMeasure)}")
    temperature = found["temperature"]
    if not _is_number(temperature) or not COOLEST <= temperature <= HOTTEST:
        raise _wrong(f"`temperature` is a number from {COOLEST} to {HOTTEST}")
    measure = ConfidenceMeasure(found["measure"])
    words = _words(found["words"]) if "words" in found else None
    return Calibration(measure, float(temperature), *_line(found, ""), words)


def _words(found: Any) -> WordCurve:
    if not isinstance(found, Mapping) or found.keys() != {"raw", "told"} or not found["raw"]:
        raise _wrong("`words` is an object of raw and told")
    return WordCurve(*_line(found, "words."))


def _line(found: Mapping[str, Any], prefix: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    raw, told = _knots(found["raw"], f"{prefix}raw"), _knots(found["told"], f"{prefix}told")
    if len(raw) != len(told) or len(set(raw)) < len(raw):
        raise _wrong(f"`{prefix}raw` are different numbers, as many as `{prefix}told`")
    return raw, told


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
