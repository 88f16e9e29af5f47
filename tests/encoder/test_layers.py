from typing import Any

import pytest
import torch

from embedsvc.encoder.config import EncoderConfig
from embedsvc.encoder.layers import Block, network
from embedsvc.encoder.tensors import expected_shapes

LENGTHS = (9, 4, 12)


def block(**changes: Any) -> Block:
    """The only block of a network with random weights."""
    values: dict[str, Any] = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 12,
        "feature_projection_input_dim": 160,
        "conv_depthwise_kernel_size": 5,
        "left_max_position_embeddings": 3,
        "right_max_position_embeddings": 1,
        "rotary_embedding_base": 10_000,
        "layer_norm_eps": 1e-5,
        "hidden_act": "swish",
        "position_embeddings_type": "relative_key",
    }
    config = EncoderConfig(**(values | changes))
    generator = torch.Generator().manual_seed(0)
    shapes = expected_shapes(config)
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return next(network(tensors, config).exact_blocks())


@pytest.fixture
def states() -> torch.Tensor:
    return torch.randn(sum(LENGTHS), 8, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def test_the_convolution_looks_only_back(states: torch.Tensor) -> None:
    convolution = block().convolution
    changed = states.clone()
    changed[5] *= -1
    difference = convolution(states, LENGTHS) - convolution(changed, LENGTHS)
    touched = difference.abs().amax(dim=1).nonzero().flatten().tolist()
    assert touched == [5, 6, 7, 8]


@pytest.mark.parametrize("positions", [None, "relative_key", "relative", "rotary"])
@torch.inference_mode()
def test_a_block_of_packed_utterances_is_that_of_each(
    states: torch.Tensor, positions: str | None
) -> None:
    layer = block(position_embeddings_type=positions)
    each = [layer(part, (len(part),)) for part in states.split_with_sizes(list(LENGTHS))]
    torch.testing.assert_close(layer(states, LENGTHS), torch.cat(each))


@pytest.mark.parametrize("activation", ["swish", "silu", "gelu", "relu"])
@torch.inference_mode()
def test_a_block_leaves_the_states_it_was_given(states: torch.Tensor, activation: str) -> None:
    before = states.clone()
    block(hidden_act=activation)(states, LENGTHS)
    assert torch.equal(states, before)
