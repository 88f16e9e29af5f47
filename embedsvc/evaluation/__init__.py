"""Measures: what a search found against what there was to find, and what vectors are good for.

The modules of the encoder's evaluation are imported by their own names: they need it, and probes.
"""

from embedsvc.evaluation.baseline import mfcc_delta_vector, mfcc_vector
from embedsvc.evaluation.ranking import chance_at, hit_at, mean_reciprocal_rank, recall_at

__all__ = [
    "chance_at",
    "hit_at",
    "mean_reciprocal_rank",
    "mfcc_delta_vector",
    "mfcc_vector",
    "recall_at",
]
