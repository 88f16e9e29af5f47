"""Recordings of a collection as examples, labelled by a field of their metadata."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from embedsvc import filters
from embedsvc.errors import FailedPrecondition
from embedsvc.files import Take
from embedsvc.filters import Filter
from embedsvc.index import Collection
from embedsvc.operations import Progress, Tell
from embedsvc.probes import OF_RECORDING, Gathering
from embedsvc.types import Floats, MetadataValue, Space, StoredRecording

PAGE = 500


def gather(
    collection: Collection,
    spaces: Sequence[Space],
    request: Mapping[str, Any],
    folder: Path,
    tell: Tell,
    take: Take,
) -> None:
    """Write the examples that `request` asks for into a new folder.

    Raises FailedPrecondition when there are none, or DiskFull.
    """
    text, field = request["filter"], request["label_field"]
    condition = filters.parse(text) if text else None
    total = collection.count(condition)
    with Gathering(folder, spaces, take) as gathering:
        for done, listed in enumerate(_recordings(collection, condition)):
            tell(Progress(done, total, "reading vectors"))
            label = listed.metadata.get(field)
            vectors = None if label is None else _vectors(collection, listed, request["spaces"])
            if label is None or vectors is None:
                continue
            # All of a recording belong together, whoever else does.
            group = _text(listed.metadata.get(request["group_field"], ""))
            group = group or f"{OF_RECORDING}{listed.id}"
            gathering.add(vectors, [_text(label)] * len(vectors), [group] * len(vectors))
        if not gathering.count:
            raise FailedPrecondition(
                f"`collection` {collection.name!r} must have recordings with the field "
                f"{field!r}, but has none",
                field="label_field",
            )
        gathering.finish()


def _recordings(collection: Collection, condition: Filter | None) -> Iterator[StoredRecording]:
    cursor: int | None = 0
    while cursor is not None:
        page = collection.page(condition, after=cursor, limit=PAGE)
        yield from page.recordings
        cursor = page.cursor


def _vectors(
    collection: Collection, listed: StoredRecording, names: Sequence[str]
) -> Floats | None:
    """Vectors (S, D) of a recording as it was listed; None when it is gone, or another since."""
    found = collection.read(listed.id, names)
    if found is None or found[0].sequence != listed.sequence:
        return None
    return found[1]


def _text(value: MetadataValue) -> str:
    """A value of metadata as a label.

    >>> _text(True), _text(3), _text("pol")
    ('true', '3', 'pol')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)
