"""The numbers of a probe, and the hash that says which they are."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedsvc.types import Floats, ProbeInfo

KNOTS: NDArray[np.float64] = np.linspace(-12.0, 12.0, 97)
"""Log-odds at which a calibration curve is kept; beyond the last it is flat."""

RANKS: NDArray[np.float64] = np.linspace(0.0, 1.0, 201)
"""Shares of the training speech at which the quantiles of evidence are kept."""

NEIGHBORS = 5
"""Stored vectors whose mean cosine distance is the evidence `distance`."""

MOST_REFERENCES = 2000
MOST_REFERENCE_NUMBERS = 1 << 21
"""Of all stored vectors together: 4 MiB in half precision, looked through in less than 1 ms."""


LARGEST = 1e15
"""What vectors are cut off at: their squares still add up in single precision."""

MOST_DEVIATIONS = 1e6
"""What a scaled vector is cut off at; no measurement is so far from the mean of others."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers of a probe for C labels over L spaces of d dimensions each, D = L d.

    A vector x (D,) becomes z (d,), the sum over the spaces, weighted by `mix` (L,), of the parts
    of (x - `mean`) * `scale`, both (D,). Raw scores are z @ `weights` (d, C) + `bias` (C,). They
    become probabilities by `temperature` (1,), or by `curve` (C, K), one calibrated probability for
    each of `KNOTS` and label; (0, K) without one. Labels of at least `least` (C,) are in the
    prediction set; of a regression it is half the width of the interval. Labels of at least
    `answers` (C,) are the answer of a multi-label probe.

    `references` (R, D) are unit vectors of the training speech, in half precision. `evidence`
    (3, Q) has the quantiles of logit, energy and nearness of training speech at `RANKS`, and
    `belonging` (Q,) those of the least of the three ranks. Speech that has less than the share
    `refused` (1,) is unknown.
    """

    mean: Floats
    scale: Floats
    mix: Floats
    weights: Floats
    bias: Floats
    temperature: Floats
    curve: Floats
    least: Floats
    answers: Floats
    references: NDArray[np.float16]
    evidence: Floats
    belonging: Floats
    refused: Floats

    def arrays(self) -> dict[str, NDArray[np.floating[Any]]]:
        """All by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def digest_of(numbers: Numbers, info: ProbeInfo) -> str:
    """The first 16 hex digits of a SHA-256 over all that decides what a probe answers."""
    hashed = hashlib.sha256()
    says = {
        "task": info.task,
        "labels": info.labels,
        "spaces": [asdict(space) for space in info.spaces],
        "alpha": info.alpha,
        "min_speech_seconds": info.min_speech_seconds,
    }
    hashed.update(json.dumps(says, sort_keys=True).encode())
    for name, array in sorted(numbers.arrays().items()):
        little = array.astype(array.dtype.newbyteorder("<"))
        hashed.update(f"{name}{array.dtype}{array.shape}".encode())
        hashed.update(np.ascontiguousarray(little).tobytes())
    return hashed.hexdigest()[:16]
