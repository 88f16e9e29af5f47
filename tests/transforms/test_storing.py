import numpy as np
import pytest
from safetensors.numpy import load, save

from embedsvc.errors import DataLoss
from embedsvc.transforms import Transform, fit, from_bytes, to_bytes
from embedsvc.types import TransformRecipe
from tests.transforms.speech import made

SAMPLE = made().sample
CENTERED = fit(SAMPLE, TransformRecipe(language="language"))


@pytest.mark.parametrize("transform", [CENTERED, fit(SAMPLE, TransformRecipe(dim=3))])
def test_what_was_written_is_read(transform: Transform) -> None:
    again = from_bytes(to_bytes(transform))
    assert again.digest == transform.digest
    assert np.array_equal(again(SAMPLE.vectors), transform(SAMPLE.vectors))


@pytest.mark.parametrize("cut", [0, 1, 7, 100, -1])
def test_bytes_that_were_cut_are_refused(cut: int) -> None:
    with pytest.raises(DataLoss, match="transform is damaged"):
        from_bytes(to_bytes(CENTERED)[:cut])


@pytest.mark.parametrize("name", ["mean", "matrix", "weights", "bias", "means"])
def test_a_tensor_that_is_missing_or_does_not_fit_is_refused(name: str) -> None:
    tensors = load(to_bytes(CENTERED))
    without = {key: tensor for key, tensor in tensors.items() if key != name}
    smaller = tensors | {name: np.ascontiguousarray(tensors[name][1:])}
    damaged = tensors | {name: np.full_like(tensors[name], np.nan)}
    for broken in (without, smaller, damaged):
        with pytest.raises(DataLoss):
            from_bytes(save(broken))
