"""Measures: what a search found against what there was to find."""

from embedsvc.evaluation.baseline import mfcc_vector
from embedsvc.evaluation.ranking import chance_at, hit_at, mean_reciprocal_rank, recall_at

__all__ = ["chance_at", "hit_at", "mean_reciprocal_rank", "mfcc_vector", "recall_at"]
