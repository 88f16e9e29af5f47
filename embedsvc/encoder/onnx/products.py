"""How frames are multiplied with weights: in float32, or in whole numbers of 8 bits."""

from collections.abc import Callable

import numpy as np
from onnx import TensorProto

from embedsvc.encoder.onnx.graph import Graph
from embedsvc.types import Floats

Multiply = Callable[[Graph, str, str, Floats], str]
"""Adds the product of states (..., in) with the weight (out, in) of that name to a graph."""

_TINY = float(np.finfo(np.float32).tiny)
_WEIGHTS, _STATES = 127, 255
"""Largest whole numbers: of weights, which have signs, and of states above their lowest value."""


def exact(graph: Graph, states: str, name: str, weight: Floats) -> str:
    """Product in float32 with the very values of the weight."""
    return graph.add("MatMul", states, graph.weight(name, weight.T))


def quantized(graph: Graph, states: str, name: str, weight: Floats) -> str:
    """Product in whole numbers, with a step for each output and each frame.

    A step of its own for each frame, in place of one for the whole tensor, keeps what a frame
    becomes independent of what else is in the batch, and is nearer to float32.
    """
    steps = np.maximum(np.abs(weight).max(axis=1), _TINY * _WEIGHTS) / np.float32(_WEIGHTS)
    whole = np.rint(weight / steps[:, None]).astype(np.int8)
    sums = (whole.sum(axis=1, dtype=np.int64) * steps).astype(np.float32)
    frames, frame_steps, lowest = _quantize_frames(graph, states)
    zero, signed_zero = graph.constant(np.array(0, np.uint8)), graph.constant(np.array(0, np.int8))
    product = graph.add("MatMulInteger", frames, graph.weight(name, whole.T), zero, signed_zero)
    scaled = graph.add("Mul", graph.add("Cast", product, to=TensorProto.FLOAT), frame_steps)
    scaled = graph.add("Mul", scaled, graph.weight(f"{name}.steps", steps))
    # What the product lacks, as frames were counted from their lowest value.
    return graph.add("Add", scaled, graph.add("Mul", lowest, graph.weight(f"{name}.sums", sums)))


def _quantize_frames(graph: Graph, states: str) -> tuple[str, str, str]:
    """Frames in whole numbers, and the step and the lowest value (..., 1) of each.

    Most of what an activation lets through is positive: half of all numbers would lie idle if
    they were the same on both sides of zero.
    """
    lowest = graph.add("ReduceMin", states, axes=[-1], keepdims=1)
    highest = graph.add("ReduceMax", states, axes=[-1], keepdims=1)
    # A frame whose values are all equal has a step too, which it is divided by.
    spread = graph.add("Max", graph.add("Sub", highest, lowest), graph.number(_TINY * _STATES))
    steps = graph.add("Mul", spread, graph.number(1 / _STATES))
    counted = graph.add("Div", graph.add("Sub", states, lowest), steps)
    zero = graph.constant(np.array(0, np.uint8))
    return graph.add("QuantizeLinear", counted, graph.number(1.0), zero), steps, lowest
