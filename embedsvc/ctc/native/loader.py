"""The shared library of the search; `search.h` has its structures."""

import ctypes
from ctypes import c_double, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import ClassVar

FILE = Path(__file__).with_name("libsearch.so")


class Lexicon(ctypes.Structure):
    """`lexicon`: words as a trie."""

    _fields_: ClassVar = [
        *((name, c_void_p) for name in ("steps", "nodes", "ends", "spelled", "closes")),
        *((name, c_int64) for name in ("step_count", "end_count", "length", "symbols")),
        *((name, c_int64) for name in ("sounding", "closed", "apart")),
        ("impossible", c_double),
    ]


class Automaton(ctypes.Structure):
    """`automaton`: hot words."""

    _fields_: ClassVar = [
        *((name, c_void_p) for name in ("after", "gain", "hope")),
        ("first", c_int64),
    ]


class Problem(ctypes.Structure):
    """`problem`: what is searched."""

    _fields_: ClassVar = [
        *((name, c_void_p) for name in ("frames", "begun", "counts")),
        ("words", ctypes.POINTER(Lexicon)),
        ("hot", ctypes.POINTER(Automaton)),
        ("ahead", c_void_p),
        *((name, c_int64) for name in ("frame_count", "labels", "blank", "width", "summed")),
    ]


_SIGNATURES = {
    "search_new": (c_void_p, (ctypes.POINTER(Problem),)),
    "search_run": (c_int64, (c_void_p,)),
    "search_asked": (None, (c_void_p, c_void_p)),
    "search_answer": (None, (c_void_p, c_void_p, c_void_p)),
    "search_last": (c_int64, (c_void_p, c_void_p, c_void_p)),
    "search_columns": (c_int64, (c_void_p, c_int64, c_int64, c_void_p)),
    "search_free": (None, (c_void_p,)),
}


@cache
def library() -> ctypes.CDLL | None:
    """The search, or None where it was not built."""
    if not FILE.is_file():
        return None
    functions = ctypes.CDLL(str(FILE))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(functions, name)
        function.restype, function.argtypes = result, arguments
    return functions
