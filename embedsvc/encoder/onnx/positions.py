"""How attention in a graph knows where a frame is; the same sums as in `encoder.attention`.

Letters in shapes: B utterances, T frames, C hidden size, H heads, D head size, P distances in a
relative-key table.
"""

import math
from dataclasses import dataclass

import torch
from onnx import TensorProto

from embedsvc.encoder.config import EncoderConfig
from embedsvc.encoder.onnx.graph import Graph
from embedsvc.encoder.onnx.part import Part


@dataclass(frozen=True)
class Timeline:
    """The frames of a batch: its shape (2,), T as a number, and the numbers of the frames (T,)."""

    shape: str
    length: str
    frames: str


def timeline(graph: Graph, features: str) -> Timeline:
    """Timeline of features (B, T, 160)."""
    shape = graph.add("Slice", graph.add("Shape", features), graph.row(0), graph.row(2))
    length = graph.add("Gather", shape, graph.whole(1), axis=0)
    frames = graph.add("Range", graph.whole(0), length, graph.whole(1))
    return Timeline(shape, length, frames)


@dataclass(frozen=True)
class Plain:
    """Neither a position score nor a rotation."""

    graph: Graph

    def turn(self, states: str) -> str:
        """States (B, T, C) to make queries and keys from, perhaps rotated."""
        return states

    def scores(self, part: Part, queries: str, keys: str) -> str:
        """Scores (B, H, T, T) of scaled queries (B, H, T, D) with keys (B, H, D, T)."""
        del part
        return self.graph.add("MatMul", queries, keys)


@dataclass(frozen=True)
class Rotary(Plain):
    """Rotation by `cosines` and `sines` (T, 1, D); `by_head` is the shape (B, T, H, D)."""

    cosines: str
    sines: str
    by_head: str

    def turn(self, states: str) -> str:
        """Each half of each head turned by an angle that grows with the frame's position."""
        graph = self.graph
        heads = graph.add("Reshape", states, self.by_head)
        first, second = graph.halves(heads)
        crossed = graph.add("Concat", graph.add("Neg", second), first, axis=-1)
        turned = graph.add(
            "Add", graph.add("Mul", heads, self.cosines), graph.add("Mul", crossed, self.sines)
        )
        return graph.add("Reshape", turned, graph.row(0, 0, -1))


@dataclass(frozen=True)
class RelativeKey(Plain):
    """A learned key for each clipped distance; `places` (B, H, T, T) finds that of each pair."""

    places: str

    def scores(self, part: Part, queries: str, keys: str) -> str:
        """Products with the P keys are far cheaper than with a key for each pair."""
        table = self.graph.weight(
            f"{part.prefix}distance_embedding.weight", part.take("distance_embedding.weight").T
        )
        by_distance = self.graph.add("MatMul", queries, table)  # (B, H, T, P)
        found = self.graph.add("GatherElements", by_distance, self.places, axis=3)
        return self.graph.add("Add", self.graph.add("MatMul", queries, keys), found)


@dataclass(frozen=True)
class Relative(Plain):
    """Sinusoids (2T - 1, C) of all distances, with two learned biases; `places` as above."""

    waves: str
    places: str
    heads: int
    scale: str

    def scores(self, part: Part, queries: str, keys: str) -> str:
        """Scores with the projected sinusoid of the distance of each pair."""
        graph = self.graph
        projection = graph.weight(
            f"{part.prefix}linear_pos.weight", part.take("linear_pos.weight").T
        )
        shape = graph.row(0, self.heads, -1)
        projected = graph.add("Reshape", graph.add("MatMul", self.waves, projection), shape)
        by_wave = graph.add("Transpose", projected, perm=[1, 2, 0])  # (H, D, 2T - 1)
        by_distance = graph.add("MatMul", self._moved(part, queries, "pos_bias_v"), by_wave)
        found = graph.add("GatherElements", by_distance, self.places, axis=3)
        content = graph.add("MatMul", self._moved(part, queries, "pos_bias_u"), keys)
        return graph.add("Add", content, found)

    def _moved(self, part: Part, queries: str, name: str) -> str:
        """Queries (B, H, T, D) and a bias (H, D), scaled as they are."""
        graph = self.graph
        bias = graph.add("Unsqueeze", part.weight(name), graph.row(1))
        return graph.add("Add", queries, graph.add("Mul", bias, self.scale))


def positions(graph: Graph, config: EncoderConfig, time: Timeline) -> Plain:
    """How attention knows positions, with all that layers can share."""
    heads = config.num_attention_heads
    match config.position_embeddings_type:
        case "relative_key":
            left, right = config.left_max_position_embeddings, config.right_max_position_embeddings
            distances = graph.add("Max", _distances(graph, time), graph.whole(-left))
            distances = graph.add("Min", distances, graph.whole(right))
            rows = graph.add("Add", distances, graph.whole(left))
            return RelativeKey(graph, _places(graph, time, rows, heads))
        case "relative":
            last = graph.add("Sub", time.length, graph.whole(1))
            rows = graph.add("Add", _distances(graph, time), last)
            places = _places(graph, time, rows, heads)
            scale = graph.number(1 / math.sqrt(config.head_size))
            return Relative(graph, _waves(graph, config, time), places, heads, scale)
        case "rotary":
            cosines, sines = _turns(graph, config, time)
            return Rotary(graph, cosines, sines, graph.row(0, 0, heads, config.head_size))
        case _:
            return Plain(graph)


def _distances(graph: Graph, time: Timeline) -> str:
    """How far each key is ahead of each query, (T, T)."""
    keys = graph.add("Unsqueeze", time.frames, graph.row(0))
    queries = graph.add("Unsqueeze", time.frames, graph.row(1))
    return graph.add("Sub", keys, queries)


def _places(graph: Graph, time: Timeline, rows: str, heads: int) -> str:
    """The same rows (T, T) for every head of every utterance, in numbers half as large."""
    batch = graph.add("Gather", time.shape, graph.row(0), axis=0)
    length = graph.add("Unsqueeze", time.length, graph.row(0))
    shape = graph.add("Concat", batch, graph.row(heads), length, length, axis=0)
    return graph.add("Expand", graph.add("Cast", rows, to=TensorProto.INT32), shape)


def _waves(graph: Graph, config: EncoderConfig, time: Timeline) -> str:
    """Sines and cosines (2T - 1, C) of the distances T - 1 down to 1 - T."""
    first = graph.add("Sub", time.length, graph.whole(1))
    end = graph.add("Neg", time.length)
    distances = graph.add(
        "Cast", graph.add("Range", first, end, graph.whole(-1)), to=TensorProto.FLOAT
    )
    even = torch.arange(0, config.hidden_size, 2).float()
    rates = torch.exp(even * -(math.log(10_000.0) / config.hidden_size))
    column = graph.add("Unsqueeze", distances, graph.row(1))
    angles = graph.add("Mul", column, graph.weight("positions.rates", rates.numpy()))
    angles = graph.add("Unsqueeze", angles, graph.row(2))  # (2T - 1, C / 2, 1)
    pairs = graph.add("Concat", graph.add("Sin", angles), graph.add("Cos", angles), axis=2)
    return graph.add("Reshape", pairs, graph.row(-1, config.hidden_size))


def _turns(graph: Graph, config: EncoderConfig, time: Timeline) -> tuple[str, str]:
    """Cosines and sines (T, 1, D) of the angles of each frame."""
    powers = torch.arange(0, config.head_size, 2).float()
    rates = 1.0 / (config.rotary_embedding_base ** (powers / config.head_size))
    frames = graph.add("Cast", time.frames, to=TensorProto.FLOAT)
    column = graph.add("Unsqueeze", frames, graph.row(1, 2))
    angles = graph.add("Mul", column, graph.weight("positions.rates", rates.numpy()))
    angles = graph.add("Concat", angles, angles, axis=2)
    return graph.add("Cos", angles), graph.add("Sin", angles)
