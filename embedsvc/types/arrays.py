"""What vectors and codes are made of."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

Codes = NDArray[np.int8]
"""What the frames of a recording became to be compared one by one: codes (N, d)."""
