"""What a search must beat: the mean of classic cepstra, with no model at all."""

import numpy as np
from scipy.fft import dct

from embedsvc.types import Floats

COEFFICIENTS = 20


def mfcc_vector(log_mel: Floats) -> Floats:
    """Mean and standard deviation over time of 20 cepstral coefficients: (40,).

    `log_mel` is (T, 80); the cepstra are its orthonormal DCT-II over the bins.
    """
    cepstra = dct(log_mel.astype(np.float64), axis=1, norm="ortho")[:, :COEFFICIENTS]
    vector: Floats = np.concatenate([cepstra.mean(axis=0), cepstra.std(axis=0)]).astype(np.float32)
    return vector
