"""What a search must beat: the mean of classic cepstra, with no model at all."""

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct

from embedsvc.types import Floats

COEFFICIENTS = 20


def mfcc_vector(log_mel: Floats) -> Floats:
    """Mean and standard deviation over time of 20 cepstral coefficients: (40,).

    `log_mel` is (T, 80); the cepstra are its orthonormal DCT-II over the bins.
    """
    cepstra = cepstra_of(log_mel)
    vector: Floats = np.concatenate([cepstra.mean(axis=0), cepstra.std(axis=0)]).astype(np.float32)
    return vector


def mfcc_delta_vector(log_mel: Floats) -> Floats:
    """`mfcc_vector`, then the deviation and mean of the change from frame to frame: (80,)."""
    cepstra = cepstra_of(log_mel)
    change = np.diff(cepstra, axis=0) if len(cepstra) > 1 else np.zeros_like(cepstra)
    parts = [cepstra.mean(axis=0), cepstra.std(axis=0), change.std(axis=0), change.mean(axis=0)]
    vector: Floats = np.concatenate(parts).astype(np.float32)
    return vector


def cepstra_of(log_mel: Floats) -> NDArray[np.float64]:
    """The first 20 cepstra (T, 20) of log-mel energies (T, 80), one row every 10 ms."""
    cepstra: NDArray[np.float64] = dct(log_mel.astype(np.float64), axis=1, norm="ortho")
    return cepstra[:, :COEFFICIENTS]
