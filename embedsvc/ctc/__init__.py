"""From the log-probabilities of a CTC head to text, times and confidence."""

from embedsvc.ctc.alignment import STAR, Alignment, align
from embedsvc.ctc.calibration import Calibration, from_json
from embedsvc.ctc.confidence import ConfidenceMeasure
from embedsvc.ctc.edits import ErrorCounts, character_errors, count, right, word_errors
from embedsvc.ctc.fitting import Example, fit, told
from embedsvc.ctc.language_model import LanguageModel, Parting
from embedsvc.ctc.lexicon import sounding_words, written_words
from embedsvc.ctc.measures import ConfidenceFigures, judge
from embedsvc.ctc.runs import Run, greedy
from embedsvc.ctc.search import Candidate, beam
from embedsvc.ctc.streaming import Agreement, Part, Stitched, core_rows, stitch
from embedsvc.ctc.transcript import align_text, low_confidence, transcribe
from embedsvc.ctc.vocabulary import encode, text

__all__ = [
    "STAR",
    "Agreement",
    "Alignment",
    "Calibration",
    "Candidate",
    "ConfidenceFigures",
    "ConfidenceMeasure",
    "ErrorCounts",
    "Example",
    "LanguageModel",
    "Part",
    "Parting",
    "Run",
    "Stitched",
    "align",
    "align_text",
    "beam",
    "character_errors",
    "core_rows",
    "count",
    "encode",
    "fit",
    "from_json",
    "greedy",
    "judge",
    "low_confidence",
    "right",
    "sounding_words",
    "stitch",
    "text",
    "told",
    "transcribe",
    "word_errors",
    "written_words",
]
