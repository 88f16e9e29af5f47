"""The transforms that the spaces of a collection are searched through, in its tables."""

import json
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import apsw
import numpy as np

from embedsvc.errors import DataLoss
from embedsvc.index.parts import Part
from embedsvc.index.prepared import Doubles, Halves
from embedsvc.transforms import Transform, from_bytes, to_bytes
from embedsvc.types import FittedInfo, TransformRecipe


@dataclass(frozen=True)
class Fitted:
    """A transform in force: what it was made to, on how many segments, and when.

    `version` counts the transforms that the space has had.
    """

    version: int
    transform: Transform
    recipe: TransformRecipe
    segments: int
    created_at: float

    def info(self) -> FittedInfo:
        """What to tell about it."""
        return FittedInfo(
            version=self.version,
            digest=self.transform.digest,
            dim=self.transform.gives,
            recipe=self.recipe,
            segments=self.segments,
            created_at=self.created_at,
        )


def moved(transform: Transform | None, vectors: Halves) -> Halves:
    """Stored vectors (N, D) as they are searched, (N, d)."""
    if transform is None:
        return vectors
    through: Halves = transform(vectors.astype(np.float32)).astype("<f2")
    return through


def direction(transform: Transform | None, query: Doubles) -> Doubles:
    """A unit query (D,) as it is searched with, (d,)."""
    if transform is None:
        return query
    there: Doubles = transform(query[None].astype(np.float32))[0].astype(np.float64)
    return there / np.sqrt(there @ there)


def digest(transform: Transform | None) -> str:
    """What tells the vectors of one transform from those of another; empty without one."""
    return "" if transform is None else transform.digest


def read(connection: apsw.Connection, part: Part) -> Fitted | None:
    """The transform in force in a space; raises DataLoss when it is not whole."""
    found: Any = connection.execute(
        "SELECT version, data, crc, recipe, segments, created_at FROM fitted WHERE space = ?",
        (part.number,),
    ).fetchone()
    if found is None or not found[1]:
        return None
    version, data, crc, recipe, segments, created_at = found
    if zlib.crc32(data) != crc:
        of_space = f" of space {part.name!r}" if part.name else ""
        raise DataLoss(
            f"`collection` must be readable, but its transform{of_space} fails its checksum: "
            "remove it"
        )
    made_to = TransformRecipe(**json.loads(recipe))
    return Fitted(version, from_bytes(data), made_to, segments, created_at)


def write(
    connection: apsw.Connection,
    part: Part,
    transform: Transform | None,
    recipe: TransformRecipe,
    segments: int,
    now: float,
) -> Fitted | None:
    """Put a transform in force in a space, or none, in place of the one before."""
    data = b"" if transform is None else to_bytes(transform)
    before = connection.execute("SELECT version FROM fitted WHERE space = ?", (part.number,)).get
    version = 1 + int(before or 0)
    connection.execute(
        "REPLACE INTO fitted (space, version, data, crc, recipe, segments, created_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(part.number, version, data, zlib.crc32(data)),
            *(json.dumps(asdict(recipe)), segments, now),
        ),
    )
    return None if transform is None else Fitted(version, transform, recipe, segments, now)
