"""The encoder on a device that is not the processor; here torch's shape-only one."""

from pathlib import Path

import pytest
import torch

from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.layers import Network
from embedsvc.errors import FailedPrecondition, InvalidArgument
from tests.encoder.reference import reference, save


@pytest.mark.parametrize("positions", ["relative_key", "relative", "rotary", None])
def test_a_pass_makes_no_tensor_on_another_device(positions: str | None, tmp_path: Path) -> None:
    model = reference(position_embeddings_type=positions)
    directory = save(model, tmp_path / "small", position_embeddings_type=positions)
    encoder = Encoder.load(resolve(str(directory)), device="meta")
    states = torch.zeros(130, encoder.dim, device="meta")
    assert isinstance(encoder.network, Network)
    with torch.inference_mode():
        for block in encoder.network.exact_blocks():
            states = block(states, [100, 30])
    assert states.shape == (130, encoder.dim)
    assert states.device.type == "meta"


def test_an_unknown_device_is_named(directory: Path) -> None:
    with pytest.raises(InvalidArgument, match="but is 'toaster'") as caught:
        Encoder.load(resolve(str(directory)), device="toaster")
    assert caught.value.field == "device"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(directory: Path) -> None:
    with pytest.raises(FailedPrecondition, match="needs a GPU"):
        Encoder.load(resolve(str(directory)), device="cuda")
