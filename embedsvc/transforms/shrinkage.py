"""The covariance of few vectors in many dimensions."""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def covariance(rows: Doubles) -> Doubles:
    """Covariance (D, D) of rows (N, D) whose mean is 0, shrunk as far as there are few of them.

    Source: Ledoit and Wolf 2004, https://doi.org/10.1016/S0047-259X(03)00096-4.
    """
    # Imported here: it takes a third of the start of a server, and most never fit anything.
    from sklearn.covariance import ledoit_wolf  # noqa: PLC0415

    found: Doubles = ledoit_wolf(rows, assume_centered=True)[0]
    return found
