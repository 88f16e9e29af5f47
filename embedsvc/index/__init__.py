"""Durable collections of recordings, searchable by vector and by metadata.

The rows in SQLite are the truth. The FAISS base and the tail in memory are a cache of them,
which is checked when it is loaded, and rebuilt when it is damaged or gone.
"""

from embedsvc.index.catalog import Catalog
from embedsvc.index.codes import Candidates, Coded, Owner, Reach
from embedsvc.index.collection import Collection
from embedsvc.index.outcomes import Added, Deleted, Page, RequestKey, Tuning, WriteMode
from embedsvc.index.stored_codes import Coding
from embedsvc.index.stored_texts import Rankings, StoredTexts, TextQuery

__all__ = [
    "Added",
    "Candidates",
    "Catalog",
    "Coded",
    "Coding",
    "Collection",
    "Deleted",
    "Owner",
    "Page",
    "Rankings",
    "Reach",
    "RequestKey",
    "StoredTexts",
    "TextQuery",
    "Tuning",
    "WriteMode",
]
