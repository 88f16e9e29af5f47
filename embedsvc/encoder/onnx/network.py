"""The encoder as an ONNX graph: the same parts as in `encoder.layers`, over padded utterances.

Letters in shapes: B utterances, T frames of the longest, C hidden size, H heads, D head size.
"""

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
import onnx
from onnx import TensorProto, helper
from torch import Tensor

from embedsvc.encoder.config import EncoderConfig
from embedsvc.encoder.onnx.graph import Graph
from embedsvc.encoder.onnx.part import Part
from embedsvc.encoder.onnx.positions import Plain, positions, timeline
from embedsvc.encoder.onnx.products import Multiply, exact

FEATURES, LENGTHS = "features", "lengths"


def output_name(layer: int) -> str:
    """Name of the output with the hidden states of a layer.

    >>> output_name(16)
    'layer_16'
    """
    return f"layer_{layer}"


def build(
    graph: Graph,
    tensors: MutableMapping[str, Tensor],
    config: EncoderConfig,
    layers: Sequence[int],
    multiply: Multiply,
) -> onnx.ModelProto:
    """Model that gives the hidden states of `layers`, and ends after the deepest.

    Of `features` (B, T, 160) with `lengths` (B,) it gives `layer_N` (B, T, C). What stands past
    the length of an utterance counts for nothing, not even NaN, and comes out as zeros.
    """
    root = Part(graph, tensors, multiply, config.layer_norm_eps)
    time = timeline(graph, FEATURES)
    lengths = graph.add("Unsqueeze", LENGTHS, graph.row(1))
    valid = graph.add("Less", graph.add("Unsqueeze", time.frames, graph.row(0)), lengths)
    inside = graph.add("Unsqueeze", valid, graph.row(2))  # (B, T, 1)
    zero = graph.number(0.0)
    block = _Block(graph, config, positions(graph, config, time), _mask(graph, valid))
    states = _projected(root, graph.add("Where", inside, FEATURES, zero))
    for layer in range(max(layers) + 1):
        if layer:
            states = block(root.under(f"encoder.layers.{layer - 1}"), states)
        if layer in layers:
            graph.give(output_name(layer), "Where", inside, states, zero)
    return graph.finish(*_interface(config, layers))


@dataclass(frozen=True)
class _Block:
    """Adds layers of the encoder to a graph; `mask` is (B, 1, 1, T)."""

    graph: Graph
    config: EncoderConfig
    positions: Plain
    mask: str

    def __call__(self, part: Part, states: str) -> str:
        """States (B, T, C) of the next layer."""
        add = self.graph.add
        states = add("Add", states, self._half_fed(part, states, "ffn1"))
        attended = self._attention(
            part.under("self_attn"), part.norm(states, "self_attn_layer_norm")
        )
        states = add("Add", states, attended)
        states = add("Add", states, self._convolution(part.under("conv_module"), states))
        states = add("Add", states, self._half_fed(part, states, "ffn2"))
        return part.norm(states, "final_layer_norm")

    def _half_fed(self, part: Part, states: str, name: str) -> str:
        """Half of what a feed-forward module gives."""
        inner = part.linear(part.norm(states, f"{name}_layer_norm"), f"{name}.intermediate_dense")
        outer = part.linear(self._activation(inner), f"{name}.output_dense")
        return self.graph.add("Mul", outer, self.graph.number(0.5))

    def _attention(self, part: Part, states: str) -> str:
        """Each frame of an utterance sees all of its frames, and no padding."""
        graph = self.graph
        turned = self.positions.turn(states)
        queries = self._by_head(part.linear(turned, "linear_q"), [0, 2, 1, 3])
        keys = self._by_head(part.linear(turned, "linear_k"), [0, 2, 3, 1])
        values = self._by_head(part.linear(states, "linear_v"), [0, 2, 1, 3])
        scaled = graph.add("Mul", queries, graph.number(1 / sqrt(self.config.head_size)))
        scores = graph.add("Add", self.positions.scores(part, scaled, keys), self.mask)
        mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), values)
        joined = graph.add("Transpose", mixed, perm=[0, 2, 1, 3])
        return part.linear(graph.add("Reshape", joined, graph.row(0, 0, -1)), "linear_out")

    def _by_head(self, states: str, order: list[int]) -> str:
        """States (B, T, C) as (B, T, H, D), its dimensions in another order."""
        shape = self.graph.row(0, 0, self.config.num_attention_heads, self.config.head_size)
        return self.graph.add("Transpose", self.graph.add("Reshape", states, shape), perm=order)

    def _convolution(self, part: Part, states: str) -> str:
        """Gated depthwise convolution that looks only back, so that padding needs no care."""
        graph = self.graph
        gates = part.pointwise(part.norm(states, "layer_norm"), "pointwise_conv1")
        kept, gate = graph.halves(gates)
        gated = graph.add("Mul", kept, graph.add("Sigmoid", gate))
        normed = part.norm(self._sweep(part, gated), "depthwise_layer_norm")
        return part.pointwise(self._activation(normed), "pointwise_conv2")

    def _sweep(self, part: Part, states: str) -> str:
        """Convolution of each channel as of a picture one row high: a layout that is fast."""
        graph = self.graph
        kernel = np.expand_dims(part.take("depthwise_conv.weight"), 2)  # (C, 1, 1, K)
        weight = graph.weight(f"{part.prefix}depthwise_conv.weight", kernel)
        row = graph.row(1)
        picture = graph.add("Transpose", graph.add("Unsqueeze", states, row), perm=[0, 3, 1, 2])
        past = kernel.shape[-1] - 1
        swept = graph.add("Conv", picture, weight, group=len(kernel), pads=[0, past, 0, 0])
        return graph.add("Squeeze", graph.add("Transpose", swept, perm=[0, 2, 3, 1]), row)

    def _activation(self, states: str) -> str:
        graph = self.graph
        match self.config.hidden_act:
            case "relu":
                return graph.add("Relu", states)
            case "gelu":
                erf = graph.add("Erf", graph.add("Mul", states, graph.number(1 / sqrt(2))))
                half = graph.add("Mul", states, graph.number(0.5))
                return graph.add("Mul", half, graph.add("Add", erf, graph.number(1.0)))
            case _:
                return graph.add("Mul", states, graph.add("Sigmoid", states))


def _projected(root: Part, features: str) -> str:
    """Layer 0; exact even in an int8 model, as it is little work that all layers rest on."""
    part = replace(root, multiply=exact).under("feature_projection")
    return part.linear(part.norm(features, "layer_norm"), "projection")


def _mask(graph: Graph, valid: str) -> str:
    """What to add to scores (B, 1, 1, T): 0 for a frame, and next to nothing for padding."""
    # Not minus infinity: an utterance without frames would be a mean of nothing.
    lowest = graph.number(float(np.finfo(np.float32).min))
    columns = graph.add("Unsqueeze", valid, graph.row(1, 2))
    return graph.add("Where", columns, graph.number(0.0), lowest)


def _interface(
    config: EncoderConfig, layers: Sequence[int]
) -> tuple[list[onnx.ValueInfoProto], list[onnx.ValueInfoProto]]:
    """Inputs and outputs, with batch and time left open."""
    size, width = config.feature_projection_input_dim, config.hidden_size
    declare = helper.make_tensor_value_info
    inputs = [
        declare(FEATURES, TensorProto.FLOAT, ["batch", "time", size]),
        declare(LENGTHS, TensorProto.INT64, ["batch"]),
    ]
    shape: list[str | int | None] = ["batch", "time", width]
    return inputs, [declare(output_name(each), TensorProto.FLOAT, shape) for each in layers]
