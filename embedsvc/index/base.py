"""The base: an immutable FAISS index over the older segments, and its file.

The file is a cache of rows, so that anything odd about it only means that it is built again.
FAISS reads a damaged file without complaint, and may then answer wrongly or never: nothing is
given to it whose SHA-256 is not the one written beside it.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from embedsvc.files import replace_file, sync_directory
from embedsvc.index.changes import Keys
from embedsvc.index.prepared import Halves
from embedsvc.types import Floats

FORMAT = 1
RECIPE = "flat-fp16"
"""Every search scores all vectors, stored as the rows have them: answers are exact."""


_faiss: Any = faiss  # Its type hints are those of the C++ interface, not of what Python is given.


class Base:
    """Segments up to and with `upto`; `sids` (N,) ascend, `codes` (N, D) are their vectors."""

    def __init__(self, index: Any, upto: int) -> None:
        self._whole = index
        self._index = faiss.downcast_index(index.index)
        self.dim: int = index.d
        self.upto = upto
        self.sids: Keys = faiss.vector_to_array(index.id_map)
        self.codes: Halves = _codes(self._index)

    def __len__(self) -> int:
        return len(self.sids)

    def search(self, query: Floats, want: int, positions: Keys | None) -> tuple[Keys, Floats]:
        """Positions and scores of the `want` best for `query` (D,), among `positions` if given."""
        _use_one_thread()
        parameters = None
        if positions is not None:
            allowed = np.zeros(len(self), bool)
            allowed[positions] = True
            bits = np.packbits(allowed, bitorder="little")
            parameters = _faiss.SearchParameters(sel=_faiss.IDSelectorBitmap(bits))
        scores, found = self._index.search(query[None], min(want, len(self)), params=parameters)
        real = found[0] >= 0
        return found[0][real], scores[0][real]

    def serialize(self) -> memoryview:
        """The bytes of its file."""
        return memoryview(_faiss.serialize_index(self._whole))


def best(vectors: Floats, query: Floats, want: int) -> tuple[Keys, Floats]:
    """Positions and scores of the `want` best of `vectors` (N, D) for `query` (D,).

    Not a product with numpy, whose BLAS would set all cores to work for one search: three times
    slower than one thread when others search too.
    """
    if not len(vectors):
        return np.zeros(0, np.int64), np.zeros(0, np.float32)
    _use_one_thread()
    want = min(want, len(vectors))
    scores, found = faiss.knn(query[None], vectors, want, metric=faiss.METRIC_INNER_PRODUCT)
    return found[0], scores[0]


def build(batches: Iterable[tuple[Keys, Halves]], dim: int, upto: int) -> Base:
    """A base over rows given in ascending order."""
    flat = faiss.IndexScalarQuantizer(
        dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index = faiss.IndexIDMap2(flat)
    _use_one_thread()
    for sids, vectors in batches:
        index.add_with_ids(vectors.astype(np.float32), sids)
    return Base(index, upto)


def _use_one_thread() -> None:
    # The setting belongs to the calling thread, and callers come from a pool of many: threads of
    # ours times threads of FAISS is how servers grind to a halt.
    faiss.omp_set_num_threads(1)


@dataclass(frozen=True)
class BaseFile:
    """The files of the base of the collection `uid`, in its directory."""

    directory: Path
    uid: str

    def save(self, base: Base, sequence: int, transform: str = "") -> None:
        """Make `base` the one found at the next start; a crash leaves the old one or the new.

        `transform` is the digest of what its vectors went through.
        """
        content = base.serialize()
        name = f"base-{base.upto}-{sequence}.faiss"
        replace_file(self.directory / name, content)
        facts = self._facts(base, transform) | {
            "file": name,
            "upto": base.upto,
            "count": len(base),
            "bytes": content.nbytes,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        replace_file(self._current, json.dumps(facts | {"check": _check(facts)}).encode())
        sync_directory(self.directory)
        self.remove_others(name)

    def load(self, dim: int, transform: str, last_sid: int) -> Base | None:
        """The saved base, or None when there is none that can be trusted."""
        facts = self._read_current()
        if facts.pop("check", "") != _check(facts):
            return None
        try:
            content = (self.directory / str(facts["file"])).read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content).hexdigest() != facts["sha256"]:
            return None
        base = Base(faiss.deserialize_index(np.frombuffer(content, np.uint8)), facts["upto"])
        # A base of another collection, of another format or transform, or from after the rows
        # were restored from a backup is whole, and yet not ours.
        fits = self._facts(base, transform).items() <= facts.items()
        return base if fits and base.dim == dim and base.upto <= last_sid else None

    def remove_others(self, name: str = "") -> None:
        """Remove what interrupted saves left; `name` is the base to keep, or that of CURRENT."""
        keep = name or self._read_current().get("file")
        for path in self.directory.iterdir():
            if path.suffix == ".tmp" or (path.name.startswith("base-") and path.name != keep):
                path.unlink(missing_ok=True)

    @property
    def _current(self) -> Path:
        return self.directory / "CURRENT"

    def _read_current(self) -> dict[str, Any]:
        try:
            facts = json.loads(self._current.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def _facts(self, base: Base, transform: str) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "recipe": RECIPE,
            "uid": self.uid,
            "dim": base.dim,
            "transform": transform,
        }


def _check(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _codes(flat: Any) -> Halves:
    """The vectors inside `flat`, not copied; valid as long as it lives."""
    if not flat.ntotal:
        return np.zeros((0, flat.d), np.float16)
    octets = faiss.rev_swig_ptr(flat.codes.data(), flat.ntotal * flat.code_size)
    codes: Halves = octets.view(np.float16).reshape(flat.ntotal, flat.d)
    return codes
