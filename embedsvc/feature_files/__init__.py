"""Files of vectors or frames of many recordings, for programs that learn from them.

A run gathers rows in a `Spool`, which survives its end, and writes them out as .npz or .parquet;
`load` maps an .npz into memory.

Letters in shapes: R recordings, N rows of all of them, D dimensions of a row.
"""

from embedsvc.feature_files.facts import Facts, space_fields
from embedsvc.feature_files.npz import write_npz
from embedsvc.feature_files.parquet import check_parquet, write_parquet
from embedsvc.feature_files.reader import FeatureFile, load
from embedsvc.feature_files.spool import Contents, Entry, Spool

__all__ = [
    "Contents",
    "Entry",
    "Facts",
    "FeatureFile",
    "Spool",
    "check_parquet",
    "load",
    "space_fields",
    "write_npz",
    "write_parquet",
]
