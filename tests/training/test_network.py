"""The encoder in training is the encoder that is served."""

import pytest
import torch
from torch import Tensor, nn
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertModel

from embedsvc.training.export import config_json
from embedsvc.training.network import TrainableEncoder
from embedsvc.training.recipe import Shape

SHAPE = Shape(
    hidden_size=32, layers=3, heads=4, intermediate_size=64, convolution=7, left=5, right=2,
)  # fmt: skip


@pytest.fixture
def encoder() -> TrainableEncoder:
    torch.manual_seed(0)
    encoder = TrainableEncoder(SHAPE.config())
    for block in encoder.blocks:  # else too small to be seen
        nn.init.normal_(block.self_attn.distance_embedding.weight)
    return encoder


@torch.inference_mode()
@pytest.mark.parametrize("length", [1, 2, 40])
def test_each_layer_has_the_numbers_of_transformers(encoder: TrainableEncoder, length: int) -> None:
    theirs: nn.Module = Wav2Vec2BertModel(Wav2Vec2BertConfig(**config_json(SHAPE.config())))
    theirs.eval()
    theirs.load_state_dict(encoder.state_dict(), strict=True)
    features = torch.randn(2, length, 160)
    expected = theirs(features, output_hidden_states=True).hidden_states
    for ours, wanted in zip(encoder(features), expected, strict=True):
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=0)


@torch.inference_mode()
def test_frames_that_are_hidden_make_no_difference(encoder: TrainableEncoder) -> None:
    features = torch.randn(1, 20, 160)
    hidden = torch.zeros(1, 20, dtype=torch.bool)
    hidden[0, 5:9] = True
    other = features.clone()
    other[0, 5:9] = 100.0
    torch.testing.assert_close(encoder(other, hidden)[-1], encoder(features, hidden)[-1])


@torch.inference_mode()
def test_utterances_of_a_batch_do_not_see_each_other(encoder: TrainableEncoder) -> None:
    features = torch.randn(3, 30, 160)
    alone = encoder(features[1:2])[-1]
    torch.testing.assert_close(encoder(features)[-1][1:2], alone, atol=1e-5, rtol=0)


def test_every_weight_has_a_gradient(encoder: TrainableEncoder) -> None:
    hidden = torch.zeros(2, 16, dtype=torch.bool)
    hidden[:, 3] = True
    layers: list[Tensor] = encoder(torch.randn(2, 16, 160), hidden)
    weights = torch.randn(2, 16, SHAPE.hidden_size)
    torch.autograd.backward((layers[-1] * weights).sum())
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        # A constant added to all keys changes no attention.
        assert name.endswith("linear_k.bias") or parameter.grad.abs().sum() > 0, name
