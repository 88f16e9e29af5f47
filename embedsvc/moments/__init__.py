"""The moment that matched: codes of frames, and where in them a query runs by.

Pooled segments tell which recordings to look into; codes tell when, since they keep the order of
what is said.
"""

from embedsvc.moments.codes import (
    REACH_SECONDS,
    Coder,
    Recipe,
    fit,
    pooled,
    recipe_of,
    units,
)
from embedsvc.moments.search import Moment, Query, Seen, Stretch, find, scores_of

__all__ = [
    "REACH_SECONDS",
    "Coder",
    "Moment",
    "Query",
    "Recipe",
    "Seen",
    "Stretch",
    "find",
    "fit",
    "pooled",
    "recipe_of",
    "scores_of",
    "units",
]
