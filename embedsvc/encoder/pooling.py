"""From the moments of runs of frames to one vector."""

from collections.abc import Sequence

import numpy as np

from embedsvc.types import Floats, Moments, Pooling


def merge(runs: Sequence[Moments]) -> Moments:
    """Moments of all runs together, as if their frames had been one run.

    The update of Chan, Golub and LeVeque (1979), "Updating formulae and a pairwise algorithm for
    computing sample variances", for any number of runs at once.
    """
    if not runs:
        raise ValueError("`runs` must hold at least one run of frames")
    if len(runs) == 1:
        return runs[0]
    counts = np.array([run.count for run in runs], np.float64)[:, None]
    means = np.stack([run.mean for run in runs]).astype(np.float64)
    mean = (counts * means).sum(0) / counts.sum()
    within = np.stack([run.squares for run in runs]).astype(np.float64).sum(0)
    between = (counts * (means - mean) ** 2).sum(0)
    return Moments(
        count=int(counts.sum()),
        mean=mean.astype(np.float32),
        squares=(within + between).astype(np.float32),
        peak=np.max([run.peak for run in runs], axis=0),
    )


def pool(moments: Moments, pooling: Pooling) -> Floats:
    """One vector: mean (D,), mean and population standard deviation (2D,), or maximum (D,)."""
    match pooling:
        case Pooling.MEAN:
            return moments.mean.copy()
        case Pooling.MEAN_STD:
            deviation = np.sqrt(moments.squares / np.float32(moments.count))
            return np.concatenate((moments.mean, deviation))
        case Pooling.MAX:
            return moments.peak.copy()
        case Pooling.NONE:
            raise ValueError("`pooling` none keeps frames and has no vector")


def normalize(vectors: Floats) -> Floats:
    """Vectors (..., D) at Euclidean length 1; a vector of zeros stays as it is."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=-1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
