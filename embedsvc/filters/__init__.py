"""Conditions on metadata: their tree, what they mean, and their text form."""

from embedsvc.filters.text import parse, written
from embedsvc.filters.tree import (
    MAX_DEPTH,
    MAX_NODES,
    And,
    Equals,
    Exists,
    Filter,
    In,
    Not,
    Or,
    Range,
    check,
    kind,
    matches,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_NODES",
    "And",
    "Equals",
    "Exists",
    "Filter",
    "In",
    "Not",
    "Or",
    "Range",
    "check",
    "kind",
    "matches",
    "parse",
    "written",
]
