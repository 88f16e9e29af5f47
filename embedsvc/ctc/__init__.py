"""From the log-probabilities of a CTC head to text, times and confidence."""

from embedsvc.ctc.calibration import Calibration
from embedsvc.ctc.confidence import ConfidenceMeasure
from embedsvc.ctc.runs import Run, greedy
from embedsvc.ctc.transcript import low_confidence, transcribe
from embedsvc.ctc.vocabulary import encode, text

__all__ = [
    "Calibration",
    "ConfidenceMeasure",
    "Run",
    "encode",
    "greedy",
    "low_confidence",
    "text",
    "transcribe",
]
