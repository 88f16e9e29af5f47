import subprocess
import sys

import numpy as np

from embedsvc.transforms.shrinkage import covariance


def test_many_rows_have_the_covariance_of_what_they_were_drawn_from() -> None:
    scales = np.array([1.0, 2.0, 3.0])
    rows = np.random.default_rng(1).normal(size=(20_000, 3)) * scales
    np.testing.assert_allclose(covariance(rows), np.diag(scales**2), atol=0.2)


def test_fewer_rows_than_dimensions_have_one_that_can_be_inverted() -> None:
    found = covariance(np.random.default_rng(2).normal(size=(8, 20)))
    assert np.linalg.matrix_rank(found) == 20
    np.testing.assert_allclose(found, found.T)


def test_a_server_that_fits_nothing_does_not_wait_for_scikit_learn() -> None:
    asks = "import sys, embedsvc.service.server; print('sklearn' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
