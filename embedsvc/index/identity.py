"""What a collection is, apart from what it holds."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import apsw

from embedsvc.errors import FailedPrecondition
from embedsvc.types import Pooling, Segmentation, Space, Windowing

FORMAT = 1
"""Version of the tables; others are refused, never migrated silently."""

COLUMNS = "uid, name, format, space, segmentation, created_at"


@dataclass(frozen=True)
class Identity:
    """What a collection is called and made for; `uid` names its folder and never changes."""

    uid: str
    name: str
    space: Space
    segmentation: Segmentation
    created_at: float

    def row(self) -> tuple[Any, ...]:
        """Values of `COLUMNS`."""
        space, segmentation = json.dumps(asdict(self.space)), json.dumps(asdict(self.segmentation))
        return self.uid, self.name, FORMAT, space, segmentation, self.created_at


def identity(row: tuple[Any, ...]) -> Identity:
    """An identity from values of `COLUMNS`; raises FailedPrecondition for another format."""
    uid, name, version, space, segmentation, created_at = row
    _check_format(version, name)
    plain = json.loads(space)
    pooling, windowing = Pooling(plain["pooling"]), Windowing(**plain["windowing"])
    return Identity(
        uid=uid,
        name=name,
        space=Space(**(plain | {"pooling": pooling, "windowing": windowing})),
        segmentation=Segmentation(**json.loads(segmentation)),
        created_at=created_at,
    )


def stamp(connection: apsw.Connection, name: str) -> None:
    """Give new tables their format; raises FailedPrecondition if they have another."""
    with connection:
        connection.execute(
            "INSERT OR IGNORE INTO meta (key, value) VALUES ('format', ?), ('sequence', 0)",
            (FORMAT,),
        )
    version: Any = connection.execute("SELECT value FROM meta WHERE key = 'format'").get
    _check_format(version, name)


def _check_format(version: int, name: str) -> None:
    if version != FORMAT:
        raise FailedPrecondition(
            f"`collection` {name!r} must have format {FORMAT}, but has {version}: "
            "open it with the version that wrote it",
            field="collection",
            format=version,
        )
