"""From the log-probabilities of a CTC head to text, times and confidence."""

from embedsvc.ctc.alignment import STAR, Alignment, align
from embedsvc.ctc.beam import Candidate, beam
from embedsvc.ctc.calibration import Calibration
from embedsvc.ctc.confidence import ConfidenceMeasure
from embedsvc.ctc.runs import Run, greedy
from embedsvc.ctc.transcript import align_text, low_confidence, transcribe
from embedsvc.ctc.vocabulary import encode, text

__all__ = [
    "STAR",
    "Alignment",
    "Calibration",
    "Candidate",
    "ConfidenceMeasure",
    "Run",
    "align",
    "align_text",
    "beam",
    "encode",
    "greedy",
    "low_confidence",
    "text",
    "transcribe",
]
