"""CTC heads of checkpoints: from hidden states to log-probabilities of labels."""

from embedsvc.encoder.ctc.heads import CtcHead
from embedsvc.encoder.ctc.loading import load_heads
from embedsvc.encoder.grid import Grid

__all__ = ["CtcHead", "Grid", "load_heads"]
