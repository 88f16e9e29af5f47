"""Training probes, as operations: on a collection, or on vectors that a caller has."""

import asyncio
import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import IO, Any

from embedsvc import filters
from embedsvc.errors import (
    EmbedsvcError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    SpaceMismatch,
    kind_of,
)
from embedsvc.filters import Filter
from embedsvc.index import Catalog, Collection
from embedsvc.operations import Kind, Operation, Operations, Progress, Tell
from embedsvc.pipeline.background import Background
from embedsvc.pipeline.embedder import Embedder
from embedsvc.pipeline.labelled import gather
from embedsvc.probes import Gathering, Shelf, Workplace, check_name
from embedsvc.probes.worker import ORDER_FILE
from embedsvc.types import Floats, OutputSpec, ProbeRecipe, Space

ON_COLLECTION = "train-probe"
ON_VECTORS = "train-probe-on-vectors"

LOOK_SECONDS = 0.1
"""Between two looks at whether a training is to end."""


@dataclass(frozen=True)
class Order:
    """What is to be trained, and what stands beside it."""

    name: str
    recipe: ProbeRecipe
    license: str = ""
    about: str = ""

    def facts(self, folder: str) -> dict[str, Any]:
        """As JSON, with the name of the folder it is worked on in."""
        return {
            "name": self.name,
            "recipe": asdict(self.recipe),
            "license": self.license,
            "about": self.about,
            "folder": folder,
        }


@dataclass(frozen=True)
class Labelled:
    """Which recordings of a collection are examples, and of what.

    `spaces` names those whose vectors are read, none for the first.
    """

    collection: str
    label_field: str
    group_field: str = ""
    condition: Filter | None = None
    spaces: tuple[str, ...] = ()


class Trainings:
    """Trains probes on behalf of callers, one after the other, and puts them on the shelf."""

    def __init__(
        self,
        embedder: Embedder,
        catalog: Catalog,
        shelf: Shelf,
        folder: Path,
    ) -> None:
        self._embedder = embedder
        self._catalog = catalog
        self._shelf = shelf
        self._folder = folder / ".work"
        self._background = Background(embedder, folder / ".background")

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The kinds of operations this does."""
        return {ON_COLLECTION: self._on_collection, ON_VECTORS: self._on_vectors}

    async def on_collection(
        self, operations: Operations, order: Order, source: Labelled
    ) -> Operation:
        """Begin to train on a collection.

        Raises CollectionNotFound, InvalidArgument, or OperationRunning while a probe of that name
        is trained already.
        """
        check_name(order.name)
        if not source.label_field:
            raise InvalidArgument(
                "`label_field` must name a metadata field, but is empty", field="label_field"
            )
        collection = await asyncio.to_thread(self._catalog.get, source.collection)
        chosen = names_of(collection, source.spaces)
        self._spaces(collection, chosen)
        request = order.facts(secrets.token_hex(16)) | {
            "collection": source.collection,
            "label_field": source.label_field,
            "group_field": source.group_field,
            "spaces": chosen,
            "filter": "" if source.condition is None else filters.written(source.condition),
        }
        return await operations.submit(ON_COLLECTION, f"probes/{order.name}", request)

    def gathering(self, name: str, spaces: tuple[Space, ...]) -> tuple[str, Gathering]:
        """Where examples that a caller sends are gathered, and what that is called."""
        check_name(name, "config.name")
        if not 1 <= len(spaces) <= 64:
            raise InvalidArgument(
                f"`config.spaces` must be 1 to 64, but are {len(spaces)}", field="config.spaces"
            )
        folder = secrets.token_hex(16)
        return folder, Gathering(self._folder / folder, spaces)

    async def on_vectors(self, operations: Operations, order: Order, folder: str) -> Operation:
        """Begin to train on what was gathered; raises OperationRunning, and forgets it then."""
        try:
            return await operations.submit(ON_VECTORS, f"probes/{order.name}", order.facts(folder))
        except BaseException:
            self._remove(folder)
            raise

    def over(self, operation: Operation) -> None:
        """Remove what an operation that is over was working on."""
        if operation.kind in {ON_COLLECTION, ON_VECTORS}:
            self._remove(operation.request["folder"])

    def recover(self, operations: Operations) -> None:
        """Remove what belongs to no operation that is still to be done."""
        wanted = {
            each.request.get("folder")
            for each in operations.list()
            if each.kind in {ON_COLLECTION, ON_VECTORS} and not each.done
        }
        if self._folder.is_dir():
            for path in list(self._folder.iterdir()):
                if path.name not in wanted:
                    shutil.rmtree(path, ignore_errors=True)

    async def _on_collection(self, request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        await asyncio.to_thread(self._gather, request, tell)
        return await self._train(request, tell)

    async def _on_vectors(self, request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        if not Workplace(self._folder / request["folder"]).is_complete:
            raise FailedPrecondition("the examples are no longer there; send them again")
        return await self._train(request, tell)

    async def _train(self, request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        place = Workplace(self._folder / request["folder"])
        background = await self._strange(place.spaces, tell)
        await asyncio.to_thread(place.put_background, background)
        name = request["name"]
        version = await asyncio.to_thread(self._shelf.next_version, name)
        order = {key: request[key] for key in ("name", "recipe", "license", "about")}
        text = json.dumps(order | {"version": version})
        (place.folder / ORDER_FILE).write_text(text, encoding="utf-8")
        await asyncio.to_thread(run_worker, place.folder, tell)
        probe = await asyncio.to_thread(lambda: self._shelf.add(name, place.probe()))
        return {"probe": name, "version": probe.info.version}

    async def _strange(self, spaces: tuple[Space, ...], tell: Tell) -> Floats | None:
        """Vectors of what is not speech; none in spaces this server's model does not make."""
        try:
            plans = [self._embedder.encoder.plan_of(space) for space in spaces]
        except SpaceMismatch:
            return None
        if len({plan.space.windowing for plan in plans}) > 1:
            return None
        return await self._background.vectors(plans, tell)

    def _gather(self, request: Mapping[str, Any], tell: Tell) -> None:
        collection = self._catalog.get(request["collection"])
        spaces = self._spaces(collection, request["spaces"])
        gather(collection, spaces, request, self._folder / request["folder"], tell)

    def _spaces(self, collection: Collection, names: Sequence[str]) -> tuple[Space, ...]:
        """What the stored vectors of a collection are of: they are kept at unit length."""
        return tuple(self._unit(collection.space(name)) for name in names)

    def _unit(self, space: Space) -> Space:
        if space.normalized:
            return space
        try:
            plan = self._embedder.encoder.plan_of(space)
        except SpaceMismatch as error:
            raise FailedPrecondition(
                "`collection` must be of vectors of unit length, as they are kept, but its space "
                f"{space.fingerprint} is not: train on the vectors themselves",
                field="collection",
            ) from error
        spec = OutputSpec("", plan.layer, plan.pooling, space.projection.partition(":")[0], True)
        return self._embedder.encoder.plan(spec, space.windowing).space

    def _remove(self, folder: str) -> None:
        shutil.rmtree(self._folder / folder, ignore_errors=True)


def names_of(collection: Collection, asked: Sequence[str]) -> list[str]:
    """The names of the spaces that are asked for, or of the first; raises InvalidArgument."""
    if len(set(asked)) < len(asked):
        raise InvalidArgument(
            f"`spaces` must name each once, but is {', '.join(asked)[:200]}", field="spaces"
        )
    return [collection.space_name(name) for name in asked or [""]]


def run_worker(folder: Path, tell: Tell) -> None:
    """Train in a process of its own; raises what ended it, and ends it when `tell` raises."""
    with subprocess.Popen(
        [sys.executable, "-P", "-s", "-m", "embedsvc.probes.worker", str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            ended = _follow(process, tell)
        finally:
            process.kill()
    if not ended:
        raise Internal(f"the training ended with code {process.returncode}")


def _follow(process: "subprocess.Popen[bytes]", tell: Tell) -> bool:
    """Pass progress on until the end; whether there is a probe."""
    assert process.stdout is not None
    assert process.stderr is not None
    lines: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    # Warnings of libraries, which must not fill the pipe.
    Thread(target=process.stderr.read, daemon=True).start()
    progress = Progress(0, 0, "starting")
    while True:
        tell(progress)
        with suppress(Empty):
            line = lines.get(timeout=LOOK_SECONDS)
            if not line:
                return False
            facts = json.loads(line)
            if "reason" in facts:
                raise _error(facts)
            if "ended" in facts:
                return True
            progress = Progress(facts["done"], facts["total"], facts["what"])


def _read(pipe: IO[bytes], lines: "SimpleQueue[bytes]") -> None:
    for line in pipe:
        lines.put(line)
    lines.put(b"")


def _error(facts: Mapping[str, str]) -> EmbedsvcError:
    kind = kind_of(facts["reason"]) or Internal
    return kind(facts["message"], field=facts["field"])
