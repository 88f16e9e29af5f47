"""The base: an immutable FAISS index over the older segments, and its files.

It scores every vector, stored as the rows have them, and is exact. Beside it may stand what only
saves time: the metadata of its segments in columns, and an accelerator that proposes segments.

The files are a cache of rows, so that anything odd about one only means that it is built again.
FAISS reads a damaged file without complaint, and may then answer wrongly or never: nothing is
given to it whose SHA-256 is not the one written beside it.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from embedsvc.files import replace_file, sync_directory
from embedsvc.index import accelerator, flat
from embedsvc.index.changes import Keys
from embedsvc.index.columns import Columns, Mask
from embedsvc.index.prepared import Halves
from embedsvc.index.proposals import Tuned, on_base
from embedsvc.types import Floats, IndexInfo

FORMAT = 1
RECIPE = "flat-fp16"
"""All vectors, stored as the rows have them."""

POINT = ("effort", "trained", "asked")
"""What CURRENT says of an accelerator besides what all may know."""

BLOCK = 4_096
"""Vectors handed on at once."""

_faiss: Any = faiss  # Its type hints are those of the C++ interface, not of what Python is given.


class Base:
    """Segments up to and with `upto`; `sids` (N,) ascend, `codes` (N, D) are their vectors.

    `columns` are their metadata, `tuned` is the accelerator; None for what is not there yet.
    """

    def __init__(
        self, index: Any, upto: int, columns: Columns | None = None, tuned: Tuned | None = None
    ) -> None:
        self._whole = index
        self._index = faiss.downcast_index(index.index)
        self.dim: int = index.d
        self.upto = upto
        self.sids: Keys = faiss.vector_to_array(index.id_map)
        self.codes: Halves = _codes(self._index)
        self.columns = columns
        self.tuned = tuned
        self.proposals = on_base(tuned, self.sids, self.codes)

    def __len__(self) -> int:
        return len(self.sids)

    @property
    def info(self) -> IndexInfo:
        """How it is searched."""
        return self.tuned.info if self.tuned else IndexInfo(RECIPE)

    def along(self, columns: Columns | None, tuned: Tuned | None) -> "Base":
        """The same vectors with other company."""
        return Base(self._whole, self.upto, columns, tuned)

    def search(self, query: Floats, want: int, mask: Mask | None) -> tuple[Keys, Floats]:
        """Positions and scores of the `want` best for `query` (D,), among those of `mask` (N,)."""
        return flat.search(self._index, query, want, mask)

    def blocks(self, after: int) -> Iterator[tuple[Keys, Halves]]:
        """Its segments after the sid `after`, a part at a time."""
        first = int(np.searchsorted(self.sids, after, side="right"))
        for place in range(first, len(self), BLOCK):
            yield self.sids[place : place + BLOCK], self.codes[place : place + BLOCK]

    def serialize(self) -> memoryview:
        """The bytes of its file."""
        return memoryview(_faiss.serialize_index(self._whole))


def base_file(collection: Path, uid: str, number: int) -> "BaseFile":
    """The files of the base of a space in the directory of its `collection`; made if missing.

    The first space is where the only one of a collection always was.
    """
    if not number:
        return BaseFile(collection, uid)
    directory = collection / f"space-{number}"
    if not directory.exists():
        directory.mkdir(mode=0o700)
        sync_directory(collection)
    return BaseFile(directory, f"{uid}/{number}")


def build(batches: Iterable[tuple[Keys, Halves]], dim: int, upto: int) -> Base:
    """A base over rows given in ascending order."""
    index = faiss.IndexIDMap2(flat.empty(dim))
    flat.use_one_thread()
    for sids, vectors in batches:
        index.add_with_ids(vectors.astype(np.float32), sids)
    return Base(index, upto)


@dataclass(frozen=True)
class BaseFile:
    """The files of a base, in a directory of their own; `uid` says of what it is."""

    directory: Path
    uid: str

    def save(self, base: Base, sequence: int, transform: str = "") -> None:
        """Make `base` the one found at the next start; a crash leaves the old one or the new.

        `transform` is the digest of what its vectors went through.
        """
        content = base.serialize()
        name = f"base-{base.upto}-{sequence}.faiss"
        known = self._read_current().get("index") if base.tuned else None
        facts = self._facts(base, transform) | {
            "upto": base.upto,
            "count": len(base),
            "index": known,
        }
        self._write_current(facts | self._write(name, content))

    def save_accelerator(self, tuned: Tuned) -> None:
        """Add `tuned` to the base that is saved, likewise."""
        known = asdict(tuned.info) | {name: getattr(tuned, name) for name in POINT} | {"file": ""}
        if tuned.accelerator is not None:
            name = f"base-{secrets.token_hex(8)}.accelerator"
            known |= self._write(name, tuned.accelerator.serialize())
            known |= {"count": len(tuned.accelerator)}
        self._write_current(self._read_current() | {"index": known})

    def load(self, dim: int, transform: str, last_sid: int) -> Base | None:
        """The saved base, or None when there is none that can be trusted."""
        facts = self._read_current()
        content = self._read(facts) if facts else None
        if content is None:
            return None
        base = Base(faiss.deserialize_index(np.frombuffer(content, np.uint8)), facts["upto"])
        # A base of another collection, of another format or transform, or from after the rows
        # were restored from a backup is whole, and yet not ours.
        fits = self._facts(base, transform).items() <= facts.items()
        if not fits or base.dim != dim or base.upto > last_sid:
            return None
        return base.along(None, self._tuned(facts.get("index")))

    def remove_others(self) -> None:
        """Remove what interrupted saves left; the files that CURRENT names stay."""
        facts = self._read_current()
        keep = {facts.get("file"), (facts.get("index") or {}).get("file")}
        for path in self.directory.iterdir():
            if path.suffix == ".tmp" or (path.name.startswith("base-") and path.name not in keep):
                path.unlink(missing_ok=True)

    def _tuned(self, known: Any) -> Tuned | None:
        if not known or known["recipe"] not in {RECIPE, accelerator.RECIPE}:
            return None
        info = IndexInfo(**{name: known[name] for name in asdict(IndexInfo(RECIPE))})
        held = None
        if known["file"]:
            content = self._read(known)
            if content is None:
                return None
            held = accelerator.deserialize(content, known["count"])
        return Tuned(held, info=info, **{name: known[name] for name in POINT})

    def _write(self, name: str, content: bytes | memoryview) -> dict[str, Any]:
        replace_file(self.directory / name, content)
        sha256 = hashlib.sha256(content).hexdigest()
        return {"file": name, "bytes": len(content), "sha256": sha256}

    def _read(self, facts: dict[str, Any]) -> bytes | None:
        """The file of which these are the facts, or None if it is not whole."""
        try:
            content = (self.directory / str(facts["file"])).read_bytes()
        except FileNotFoundError:
            return None
        return content if hashlib.sha256(content).hexdigest() == facts["sha256"] else None

    def _write_current(self, facts: dict[str, Any]) -> None:
        replace_file(self._current, json.dumps(facts | {"check": _check(facts)}).encode())
        sync_directory(self.directory)
        self.remove_others()

    @property
    def _current(self) -> Path:
        return self.directory / "CURRENT"

    def _read_current(self) -> dict[str, Any]:
        """What CURRENT says without its checksum; nothing when that does not fit."""
        try:
            facts = json.loads(self._current.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        if not isinstance(facts, dict) or facts.pop("check", "") != _check(facts):
            return {}
        return facts

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
