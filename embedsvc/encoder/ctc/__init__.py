"""CTC heads of checkpoints: from hidden states to log-probabilities of labels."""

from embedsvc.encoder.ctc.bodies import SERVED, Body
from embedsvc.encoder.ctc.heads import CtcHead
from embedsvc.encoder.ctc.language_models import with_language_model
from embedsvc.encoder.ctc.loading import AnyCheckpoint, load_heads, resolve_ctc
from embedsvc.encoder.grid import Grid

__all__ = [
    "SERVED",
    "AnyCheckpoint",
    "Body",
    "CtcHead",
    "Grid",
    "load_heads",
    "resolve_ctc",
    "with_language_model",
]
