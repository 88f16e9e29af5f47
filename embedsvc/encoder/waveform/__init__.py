"""Any wav2vec 2.0 checkpoint: from samples to hidden states, for one language or many."""

from embedsvc.encoder.waveform.checkpoints import (
    WaveformCheckpoint,
    has_languages,
    resolve_waveform,
    verified_waveform,
)
from embedsvc.encoder.waveform.config import WAVEFORM_TYPE, WaveformConfig
from embedsvc.encoder.waveform.model import WaveformEncoder

__all__ = [
    "WAVEFORM_TYPE",
    "WaveformCheckpoint",
    "WaveformConfig",
    "WaveformEncoder",
    "has_languages",
    "resolve_waveform",
    "verified_waveform",
]
