"""Clips whose vectors are made up."""

from collections.abc import Sequence

import numpy as np

from embedsvc.evaluation.clips import Clips
from embedsvc.evaluation.speech import Row
from embedsvc.types import Floats


def clips_of(rows: Sequence[Row], vectors: Floats | None = None) -> Clips:
    """Clips with the same vectors (n, D) in their one layer, the default space and cepstra."""
    if vectors is None:
        vectors = np.random.default_rng(0).standard_normal((len(rows), 6)).astype(np.float32)
    cepstra = np.concatenate([vectors, vectors], axis=1)
    return Clips(tuple(rows), (0,), vectors[:, None], vectors, cepstra, ((),) * len(rows))
