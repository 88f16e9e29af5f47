"""The moment that matched: codes of frames, and where in them a query runs by.

Pooled segments tell which recordings to look into; codes tell when, since they keep the order of
what is said.
"""

from embedsvc.moments.codes import Coder, Recipe, fit, recipe_of, rounded, units
from embedsvc.moments.search import Moment, Query, Seen, Stretch, find, scores_of

__all__ = [
    "Coder",
    "Moment",
    "Query",
    "Recipe",
    "Seen",
    "Stretch",
    "find",
    "fit",
    "recipe_of",
    "rounded",
    "scores_of",
    "units",
]
