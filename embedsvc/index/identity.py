"""What a collection is, apart from what it holds."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from embedsvc.errors import InvalidArgument
from embedsvc.index.formats import FORMAT, OLDEST, check_format
from embedsvc.index.parts import Part, parts_of
from embedsvc.types import Pooling, Segmentation, Space, Windowing

COLUMNS = "uid, name, format, space, segmentation, created_at"


@dataclass(frozen=True)
class Identity:
    """What a collection is called and made for; `uid` names its folder and never changes.

    Its `spaces` have names and an order; the only one may have an empty name.
    """

    uid: str
    name: str
    spaces: Mapping[str, Space]
    segmentation: Segmentation
    created_at: float

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Where the vectors of each space are kept."""
        return parts_of(self.spaces)

    def part(self, space: str) -> Part:
        """That of the space of this name, empty for the first; raises InvalidArgument."""
        if not space:
            return self.parts[0]
        for part in self.parts:
            if part.name == space:
                return part
        names = ", ".join(filter(None, self.spaces)) or "none"
        raise InvalidArgument(
            f"`space` must be empty or a space of {self.name!r} ({names}), but is {space[:80]!r}",
            field="space",
        )

    def row(self) -> tuple[Any, ...]:
        """Values of `COLUMNS`."""
        spaces = json.dumps([[name, asdict(space)] for name, space in self.spaces.items()])
        segmentation = json.dumps(asdict(self.segmentation))
        return self.uid, self.name, FORMAT, spaces, segmentation, self.created_at


def identity(row: tuple[Any, ...]) -> Identity:
    """An identity from values of `COLUMNS`; raises FailedPrecondition for an unknown format."""
    uid, name, version, spaces, segmentation, created_at = row
    check_format(version, name)
    plain = json.loads(spaces)
    named = [["", plain]] if version == OLDEST else plain
    return Identity(
        uid=uid,
        name=name,
        spaces={each: _space(space) for each, space in named},
        segmentation=Segmentation(**json.loads(segmentation)),
        created_at=created_at,
    )


def _space(plain: dict[str, Any]) -> Space:
    pooling, windowing = Pooling(plain["pooling"]), Windowing(**plain["windowing"])
    return Space(**(plain | {"pooling": pooling, "windowing": windowing}))
