"""The shared library of kernels, and whether this machine can run it."""

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

FILE = Path(__file__).with_name("libkernels.so")
NEEDED = frozenset(("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "fma", "f16c"))
FOR_BFLOAT16 = "avx512_bf16"

_POINTER, _LONG, _FLOAT = ctypes.c_void_p, ctypes.c_long, ctypes.c_float
_SIGNATURES = {
    "use_team": (_POINTER,),
    "quantize": (
        *(_POINTER, _LONG, _POINTER, _POINTER, _FLOAT, _LONG),
        *(_POINTER, _POINTER, _POINTER, _LONG, _LONG, _LONG, _LONG),
    ),
    "multiply_quantized": (*(_POINTER,) * 8, *(_LONG,) * 7),
    "convolve": (*(_POINTER,) * 4, *(_LONG,) * 5),
    "attend": (
        *(_POINTER, _LONG, _POINTER, _POINTER, _POINTER, _POINTER, _LONG, _POINTER),
        *(_LONG,) * 7,
    ),
}


@dataclass(frozen=True)
class Library:
    """The loaded kernels; `bfloat16` tells whether attention can be in these numbers."""

    functions: ctypes.CDLL
    bfloat16: bool

    def __str__(self) -> str:
        return "AVX-512 with bfloat16" if self.bfloat16 else "AVX-512"


@cache
def library() -> Library | None:
    """The kernels, or None where they were not built or the processor can not run them."""
    flags = _processor_flags()
    if not FILE.is_file() or not flags >= NEEDED:
        return None
    functions = ctypes.CDLL(str(FILE))
    for name, arguments in _SIGNATURES.items():
        function = getattr(functions, name)
        function.argtypes, function.restype = arguments, None
    functions.use_team(_team())
    return Library(functions, FOR_BFLOAT16 in flags)


def _processor_flags() -> frozenset[str]:
    """What the first processor says that it can."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def _team() -> int | None:
    """Address of the function that starts torch's own threads; None if it has none to share."""
    for file in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*")):
        return ctypes.cast(ctypes.CDLL(str(file)).GOMP_parallel, ctypes.c_void_p).value
    return None
