"""Compiled kernels for processors with AVX-512: attention, convolution, 8-bit products.

They are built when the package is, and used where the processor has the instructions; everywhere
else torch does the same, slower.
"""

from embedsvc.encoder.native.kernels import (
    Distances,
    attend,
    convolve,
    lined_up,
    multiply,
    panel_order,
    panels,
    quantize,
    serves,
)
from embedsvc.encoder.native.loader import Library, library
from embedsvc.encoder.native.values import Ending, Rows, Weights

__all__ = [
    "Distances",
    "Ending",
    "Library",
    "Rows",
    "Weights",
    "attend",
    "convolve",
    "library",
    "lined_up",
    "multiply",
    "panel_order",
    "panels",
    "quantize",
    "serves",
]
