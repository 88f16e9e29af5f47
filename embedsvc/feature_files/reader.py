"""Features read back: arrays that stay on disk until they are used."""

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from embedsvc.errors import DataLoss, InvalidArgument
from embedsvc.feature_files.facts import Facts
from embedsvc.types import Space

_LOCAL_HEADER = 30
"""Bytes of a zip's local header before the name; the last four are two lengths."""

MAPPED_BYTES = 1 << 20
"""A smaller array is read at once."""


@dataclass(frozen=True)
class FeatureFile:
    """What `embedsvc embed --output FILE.npz` wrote.

    `offsets` (R + 1,) says where the rows of each recording begin; `seconds`, `paths` and `ids` are
    (R,). `spans` (N, 2) are in seconds, and None for frames, which are 20 ms apart. `arrays` has
    everything under its name in the file. Arrays are mapped: they may be larger than memory, must
    not be written to, and the file must stay.
    """

    facts: Facts
    arrays: Mapping[str, NDArray[Any]]
    offsets: NDArray[np.int64]
    paths: NDArray[np.str_]
    ids: NDArray[np.str_]
    seconds: NDArray[np.float64]
    spans: NDArray[np.float64] | None
    failures: Mapping[str, str]

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs; that of a single one is empty."""
        return tuple(self.facts.spaces)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the metadata columns, as the table had them."""
        return tuple(self._stored_names())

    def rows(self, output: str | None = None) -> NDArray[Any]:
        """The rows (N, D) of an output, or of the first."""
        name = self._output(output)
        return self.arrays[self.facts.key("frames" if self.facts.frames else "vectors", name)]

    def space(self, output: str | None = None) -> Space:
        """The space of an output, or of the first."""
        return self.facts.spaces[self._output(output)]

    def recording(self, place: int, output: str | None = None) -> NDArray[Any]:
        """The rows of one recording."""
        return self.rows(output)[self.offsets[place] : self.offsets[place + 1]]

    def recordings(self) -> NDArray[np.int64]:
        """Of each row, the place of its recording (N,)."""
        return np.repeat(np.arange(len(self.paths)), np.diff(self.offsets))

    def column(self, name: str) -> NDArray[Any]:
        """A metadata column, one value for each recording (R,)."""
        stored = self._stored_names()
        if name not in stored:
            raise InvalidArgument(
                f"`name` must be one of the columns {', '.join(stored) or '(none)'}, "
                f"but is {name!r}",
                field="name",
            )
        return self.arrays[stored[name]]

    def labels(self, name: str) -> NDArray[Any]:
        """A metadata column, one value for each row (N,): the `y` of scikit-learn."""
        return self.column(name)[self.recordings()]

    def groups(self, *names: str) -> NDArray[np.int64]:
        """Numbers (N,) that are equal for rows which must not be parted, for GroupKFold.

        Rows are of a group when they agree in all columns `names`, such as the speaker; without
        names, when they are of one recording. Where a value is missing, nobody knows who else is of
        that group: the recording is one of its own.
        """
        if not names:
            return self.recordings()
        columns = [self.column(name) for name in names]
        known = np.all([_known(column) for column in columns], axis=0)
        numbers: dict[tuple[str, ...], int] = {}
        found = []
        for place in range(len(self.paths)):
            values = tuple(str(column[place]) for column in columns)
            key = ("", *values) if known[place] else (str(place),)
            found.append(numbers.setdefault(key, len(numbers)))
        return np.array(found, np.int64)[self.recordings()]

    def _output(self, output: str | None) -> str:
        name = self.outputs[0] if output is None else output
        if name not in self.facts.spaces:
            raise InvalidArgument(
                f"`output` must be one of {', '.join(map(repr, self.outputs))}, but is {name!r}",
                field="output",
            )
        return name

    def _stored_names(self) -> dict[str, str]:
        """By the name of a column in the table, that in the file."""
        stored: dict[str, str] = json.loads(str(self.arrays["columns"]))
        return {theirs: ours for ours, theirs in stored.items()}


def load(path: str | Path) -> FeatureFile:
    """Open an .npz of features; raises DataLoss for what is none, or damaged."""
    try:
        arrays = _arrays(Path(path))
        failures = zip(arrays["failed_paths"], arrays["failed_reasons"], strict=True)
        return FeatureFile(
            facts=Facts.from_json(str(arrays["facts"])),
            arrays=arrays,
            offsets=arrays["offsets"],
            paths=arrays["paths"],
            ids=arrays["ids"],
            seconds=arrays["seconds"],
            spans=arrays.get("spans"),
            failures={str(failed): str(reason) for failed, reason in failures},
        )
    except KeyError as error:
        raise DataLoss(f"`path` must be a file of features, but {path} lacks {error}") from error
    except (zipfile.BadZipFile, ValueError) as error:
        raise DataLoss(f"`path` must be an .npz of features, but {path}: {error}") from error


def _known(column: NDArray[Any]) -> NDArray[np.bool_]:
    if column.dtype.kind == "f":
        return np.asarray(~np.isnan(column), np.bool_)
    if column.dtype.kind == "U":
        return np.array([value != "" for value in column], np.bool_)
    return np.ones(len(column), np.bool_)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        return {
            member.filename.removesuffix(".npy"): _mapped(path, file, member)
            for member in archive.infolist()
        }


def _mapped(path: Path, file: IO[bytes], member: zipfile.ZipInfo) -> NDArray[Any]:
    """An array of a zip that is not compressed, where it lies."""
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{member.filename} is compressed")
    file.seek(member.header_offset)
    head = file.read(_LOCAL_HEADER)
    names = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    file.seek(member.header_offset + _LOCAL_HEADER + names)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject or fortran:
        raise ValueError(f"{member.filename} is not of plain rows")
    size = math.prod(shape) * dtype.itemsize
    if size < MAPPED_BYTES:
        return np.frombuffer(file.read(size), dtype).reshape(shape)
    return np.memmap(path, dtype, "r", file.tell(), shape)
