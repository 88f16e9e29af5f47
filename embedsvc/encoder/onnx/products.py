"""How frames are multiplied with weights: in float32, or in whole numbers of 8 bits."""

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from embedsvc.encoder.onnx.graph import Graph
from embedsvc.types import Floats

Multiply = Callable[[Graph, str, str, Floats], str]
"""Adds the product of states (..., in) with the weight (out, in) of that name to a graph."""

_LARGEST = 127
"""Numbers of 8 bits from -127 to 127, so that zero is exact and both signs reach as far."""

_CENTER = np.uint8(128)
"""What zero is among unsigned numbers: processors multiply unsigned with signed ones."""


def exact(graph: Graph, states: str, name: str, weight: Floats) -> str:
    """Product in float32 with the very values of the weight."""
    return graph.add("MatMul", states, graph.weight(name, weight.T))


def quantized(graph: Graph, states: str, name: str, weight: Floats) -> str:
    """Product in whole numbers, with a step for each output and each frame.

    A step of its own for each frame, in place of one for the whole tensor, keeps what a frame
    becomes independent of what else is in the batch, and is nearer to float32.
    """
    frames, steps = _quantize_frames(graph, states)
    weight_steps = np.maximum(np.abs(weight).max(axis=1), np.finfo(np.float32).tiny) / _LARGEST
    whole = np.rint(weight / weight_steps[:, None]).astype(np.int8)
    product = graph.add(
        "MatMulInteger",
        frames,
        graph.weight(name, whole.T),
        graph.constant(np.array(_CENTER)),
        graph.constant(np.array(0, np.int8)),
    )
    scaled = graph.add("Mul", graph.add("Cast", product, to=TensorProto.FLOAT), steps)
    return graph.add("Mul", scaled, graph.weight(f"{name}.steps", weight_steps))


def _quantize_frames(graph: Graph, states: str) -> tuple[str, str]:
    """Frames in whole numbers around the center, and the step (..., 1) of each."""
    peaks = graph.add("ReduceMax", graph.add("Abs", states), axes=[-1], keepdims=1)
    # A frame of zeros has a step too, which it is divided by.
    peaks = graph.add("Max", peaks, graph.number(float(np.finfo(np.float32).tiny) * _LARGEST))
    steps = graph.add("Mul", peaks, graph.number(1 / _LARGEST))
    center = graph.constant(np.array(_CENTER))
    divided = graph.add("Div", states, steps)
    return graph.add("QuantizeLinear", divided, graph.number(1.0), center), steps
