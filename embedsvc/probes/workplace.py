"""A folder with all that a training needs: what it learns from, and in the end the probe.

Arrays are raw little-endian float32, rows after each other, so that they can be written as they
come; labels and groups are lines of JSON. The folder gets its name when it is complete.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.files import Take, disk_errors, sync_directory
from embedsvc.probes.draft import Draft
from embedsvc.probes.examples import Examples
from embedsvc.probes.probe import Probe
from embedsvc.probes.shelf import CARD_FILE, TENSORS_FILE
from embedsvc.probes.storing import from_files, to_files
from embedsvc.types import Floats, Pooling, Space, Windowing

MOST_EXAMPLES = 500_000
MOST_NUMBERS = 1 << 29
"""Of all vectors and features together: 2 GiB."""

MOST_TEXT = 4_000
"""Characters of a label, or a group."""

_VECTORS, _BASELINE, _BACKGROUND = "vectors.f32", "baseline.f32", "background.f32"
_LINES, _HEAD, _ORDER = "examples.jsonl", "head.json", "order.json"
_DRAFT, _VERSION = "draft", "version"


class Gathering:
    """Examples on their way into a folder, which is there with all of them or not at all.

    What was finished goes too if the block fails after that. `take` is told of bytes before they
    are written.
    """

    def __init__(self, folder: Path, spaces: Sequence[Space], take: Take = lambda _: None) -> None:
        self._folder = folder
        self._take = take
        self._draft = folder.with_name(f".draft-{folder.name}")
        self._spaces = tuple(spaces)
        self._dim = sum(space.dim for space in spaces)
        self._features = 0
        self._files: dict[str, BinaryIO] = {}
        self._is_over = False
        self._lock = Lock()
        self.count = 0

    def __enter__(self) -> Self:
        self._take(0)
        with disk_errors():
            self._draft.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.rmtree(self._draft, ignore_errors=True)
            self._draft.mkdir(mode=0o700)
            for name in (_VECTORS, _BASELINE, _LINES):
                self._files[name] = (self._draft / name).open("wb")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A sender that leaves does not wait for the thread that keeps what it sent.
        with self._lock:
            self._is_over = True
            for file in self._files.values():
                # What a full disk did not take is written once more here, and goes with the folder.
                with suppress(OSError):
                    file.close()
            shutil.rmtree(self._draft, ignore_errors=True)
            if kind is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    def add(
        self,
        vectors: Floats,
        labels: Sequence[str],
        groups: Sequence[str],
        baseline: Floats | None = None,
    ) -> None:
        """More examples: `vectors` (n, D), and for each a label, a group and `baseline` (n, any).

        Raises InvalidArgument, or TensorShape, for what does not fit together or is too much.
        """
        with self._lock:
            if not self._is_over:
                self._add(vectors, labels, groups, baseline)

    def _add(
        self,
        vectors: Floats,
        labels: Sequence[str],
        groups: Sequence[str],
        baseline: Floats | None,
    ) -> None:
        self._check(vectors, labels, groups, baseline)
        self.count += len(vectors)
        features = 0 if baseline is None else baseline.shape[1]
        if self.count > MOST_EXAMPLES or self.count * (self._dim + features) > MOST_NUMBERS:
            raise InvalidArgument(
                f"`examples` must be at most {MOST_EXAMPLES:,}, and {MOST_NUMBERS:,} numbers, but "
                f"are {self.count:,} of {self._dim + features:,} numbers",
                field="examples",
                max_examples=MOST_EXAMPLES,
            )
        rows = zip(labels, groups or [""] * len(labels), strict=True)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        parts = {
            _VECTORS: np.ascontiguousarray(vectors, "<f4").data,
            _LINES: memoryview(lines.encode("utf-8", "surrogatepass")),
        }
        if baseline is not None:
            parts[_BASELINE] = np.ascontiguousarray(baseline, "<f4").data
        self._take(sum(part.nbytes for part in parts.values()))
        with disk_errors():
            for name, part in parts.items():
                self._files[name].write(part)

    def finish(self) -> None:
        """All is there, and durable."""
        head = {
            "spaces": [asdict(space) for space in self._spaces],
            "count": self.count,
            "features": self._features,
        }
        with self._lock, disk_errors():
            if self._is_over:
                return
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
                file.close()
            with (self._draft / _HEAD).open("wb") as file:
                file.write(json.dumps(head).encode())
                file.flush()
                os.fsync(file.fileno())
            sync_directory(self._draft)
            shutil.rmtree(self._folder, ignore_errors=True)
            self._draft.rename(self._folder)
            sync_directory(self._folder.parent)

    def _check(
        self,
        vectors: Floats,
        labels: Sequence[str],
        groups: Sequence[str],
        baseline: Floats | None,
    ) -> None:
        if vectors.ndim != 2 or vectors.shape[1] != self._dim:
            raise TensorShape(
                f"`vectors` must be [n, {self._dim}], the spaces side by side, but are "
                f"{list(vectors.shape)}",
                field="vectors",
            )
        count = len(vectors)
        if len(labels) != count or len(groups) not in {0, count}:
            raise InvalidArgument(
                f"`labels` must be one for each of {count} vectors, and `groups` one or none, but "
                f"are {len(labels)} and {len(groups)}",
                field="labels" if len(labels) != count else "groups",
            )
        for name, texts in (("labels", labels), ("groups", groups)):
            if any(len(text) > MOST_TEXT for text in texts):
                raise InvalidArgument(
                    f"`{name}` must be at most {MOST_TEXT} characters", field=name
                )
        if not np.isfinite(vectors).all():
            raise TensorShape("`vectors` must be finite, but have NaN or infinity", field="vectors")
        features = 0 if baseline is None else baseline.shape[1]
        rows = count if baseline is None else len(baseline)
        if (self.count and features != self._features) or rows != count:
            raise TensorShape(
                f"`baseline` must have the same features in every part, and a row for each of "
                f"{count} vectors",
                field="baseline",
            )
        self._features = features


class Workplace:
    """A folder that is complete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def is_complete(self) -> bool:
        """Whether examples are there."""
        return (self.folder / _HEAD).is_file()

    @property
    def draft(self) -> Draft:
        """The way of its probe to the shelf."""
        return Draft(self.folder / _DRAFT, self.folder / _VERSION)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """Of the examples' vectors."""
        return tuple(map(space_of_facts, self._head()["spaces"]))

    def examples(self) -> Examples:
        """What is to be learned from."""
        head = self._head()
        spaces = self.spaces
        lines = (self.folder / _LINES).read_text("utf-8", "surrogatepass").split("\n")[:-1]
        rows = [json.loads(line) for line in lines]
        count, features = head["count"], head["features"]
        return Examples(
            vectors=self._array(_VECTORS, sum(space.dim for space in spaces))[:count],
            labels=tuple(row[0] for row in rows),
            groups=tuple(row[1] for row in rows),
            spaces=spaces,
            baseline=self._array(_BASELINE, features) if features else None,
        )

    def background(self) -> Floats | None:
        """Vectors (m, D) of what is not speech, if there are any."""
        if not (self.folder / _BACKGROUND).is_file():
            return None
        return self._array(_BACKGROUND, sum(space.dim for space in self.spaces))

    def put_background(self, vectors: Floats | None) -> None:
        """Give it vectors of what is not speech, or none."""
        path = self.folder / _BACKGROUND
        path.unlink(missing_ok=True)
        if vectors is not None:
            with disk_errors():
                path.write_bytes(np.ascontiguousarray(vectors, "<f4").tobytes())

    def put_order(self, order: Mapping[str, Any]) -> None:
        """Say what is to be trained."""
        with disk_errors():
            (self.folder / _ORDER).write_bytes(json.dumps(order).encode())

    def order(self) -> dict[str, Any]:
        """What was said."""
        found: dict[str, Any] = json.loads((self.folder / _ORDER).read_bytes())
        return found

    def put(self, probe: Probe) -> None:
        """The probe that was trained."""
        files = to_files(probe)
        with disk_errors():
            (self.folder / TENSORS_FILE).write_bytes(files.tensors)
            (self.folder / CARD_FILE).write_bytes(files.card)

    def probe(self) -> Probe:
        """The probe that was `put`."""
        tensors = (self.folder / TENSORS_FILE).read_bytes()
        return from_files(tensors, (self.folder / CARD_FILE).read_bytes())

    def _head(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / _HEAD).read_bytes())
        return found

    def _array(self, name: str, dim: int) -> Floats:
        array: Floats = np.fromfile(self.folder / name, "<f4").reshape(-1, dim)
        return array


def space_of_facts(facts: Mapping[str, Any]) -> Space:
    """The space of `dataclasses.asdict`, by way of JSON."""
    windowing = Windowing(**facts["windowing"])
    return Space(**{**facts, "pooling": Pooling(facts["pooling"]), "windowing": windowing})
