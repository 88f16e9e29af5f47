"""The languages that this project knows of: their names and codes, and what was measured in each.

A language is filed under its ISO 639-3 code. Where data, synthesizers and public models speak of a
macrolanguage and mean its main member, as with Arabic or Swahili, the macrolanguage has the row and
that member folds into it; Mandarin, Cantonese, Bokmål and Nynorsk have rows of their own.
"""

from embedsvc.languages.codes import find, normalize
from embedsvc.languages.page import markdown
from embedsvc.languages.table import Language, Measured, Recall, languages, write_measured

__all__ = [
    "Language",
    "Measured",
    "Recall",
    "find",
    "languages",
    "markdown",
    "normalize",
    "write_measured",
]
