"""Tensors of a checkpoint on their way into a graph."""

from collections.abc import MutableMapping
from dataclasses import dataclass, replace

from torch import Tensor

from embedsvc.encoder.onnx.graph import Graph
from embedsvc.encoder.onnx.products import Multiply
from embedsvc.types import Floats


@dataclass(frozen=True)
class Part:
    """Tensors whose names share a prefix; each is taken out once, so that none is kept twice."""

    graph: Graph
    tensors: MutableMapping[str, Tensor]
    multiply: Multiply
    epsilon: float
    prefix: str = ""

    def under(self, name: str) -> "Part":
        """Tensors one level down."""
        return replace(self, prefix=f"{self.prefix}{name}.")

    def take(self, name: str) -> Floats:
        """Values of a tensor."""
        values: Floats = self.tensors.pop(self.prefix + name).numpy()
        return values

    def weight(self, name: str) -> str:
        """Tensor as it is, in the graph."""
        return self.graph.weight(self.prefix + name, self.take(name))

    def linear(self, states: str, name: str) -> str:
        """Affine map of the last dimension."""
        product = self._product(states, name, self.take(f"{name}.weight"))
        return self.graph.add("Add", product, self.weight(f"{name}.bias"))

    def pointwise(self, states: str, name: str) -> str:
        """Convolution of width 1 without bias: a map of each frame."""
        return self._product(states, name, self.take(f"{name}.weight").squeeze(-1))

    def norm(self, states: str, name: str) -> str:
        """Layer normalization of the last dimension."""
        weight, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.graph.add(
            "LayerNormalization", states, weight, bias, axis=-1, epsilon=self.epsilon
        )

    def _product(self, states: str, name: str, weight: Floats) -> str:
        return self.multiply(self.graph, states, f"{self.prefix}{name}.weight", weight)
