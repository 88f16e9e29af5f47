"""Training probes, as operations: on a collection, or on vectors that a caller has."""

import asyncio
import secrets
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from embedsvc import filters
from embedsvc.errors import (
    Exhausted,
    FailedPrecondition,
    InvalidArgument,
    SpaceMismatch,
)
from embedsvc.files import Take
from embedsvc.filters import Filter
from embedsvc.index import Catalog, Collection
from embedsvc.operations import Kind, Operation, Operations, Tell
from embedsvc.pipeline.background import Background
from embedsvc.pipeline.embedder import Embedder
from embedsvc.pipeline.labelled import gather
from embedsvc.pipeline.probe_process import ProcessEnded, train_apart
from embedsvc.probes import Gathering, Shelf, Workplace, check_name
from embedsvc.types import Floats, OutputSpec, ProbeRecipe, Space

ON_COLLECTION = "train-probe"
ON_VECTORS = "train-probe-on-vectors"
LANE = "trainings"

Fault = Callable[[str, BaseException], None]
"""Told of a training whose process the system ended."""


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
    """Trains probes on behalf of callers, and puts them on the shelf."""

    def __init__(
        self,
        embedder: Embedder,
        catalog: Catalog,
        shelf: Shelf,
        folder: Path,
        fault: Fault,
        take: Take,
    ) -> None:
        self._embedder = embedder
        self._catalog = catalog
        self._shelf = shelf
        self._folder = folder / ".work"
        self._fault = fault
        self._take = take
        self._background = Background(embedder, folder / ".background")

    @property
    def kinds(self) -> Mapping[str, Kind]:
        """The kinds of operations this does."""
        return {
            ON_COLLECTION: Kind(partial(self._once, self._on_collection), LANE),
            ON_VECTORS: Kind(partial(self._once, self._on_vectors), LANE),
        }

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
        _check_unlike(self._spaces(collection, chosen), "spaces")
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
        _check_unlike(spaces, "config.spaces")
        folder = secrets.token_hex(16)
        return folder, Gathering(self._folder / folder, spaces, self._take)

    async def on_vectors(self, operations: Operations, order: Order, folder: str) -> Operation:
        """Begin to train on what was gathered; raises OperationRunning."""
        return await operations.submit(ON_VECTORS, f"probes/{order.name}", order.facts(folder))

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

    async def _once(
        self, work: Callable[..., Awaitable[int]], request: Mapping[str, Any], tell: Tell
    ) -> Mapping[str, Any]:
        """Train, unless the probe was on the shelf already when a process before this one ended."""
        draft = Workplace(self._folder / request["folder"]).draft
        version = await asyncio.to_thread(draft.resume)
        if version is None:
            version = await work(request, tell)
        return {"probe": request["name"], "version": version}

    async def _on_collection(self, request: Mapping[str, Any], tell: Tell) -> int:
        await asyncio.to_thread(self._gather, request, tell)
        return await self._train(request, tell)

    async def _on_vectors(self, request: Mapping[str, Any], tell: Tell) -> int:
        if not Workplace(self._folder / request["folder"]).is_complete:
            raise FailedPrecondition("the examples are no longer there; send them again")
        return await self._train(request, tell)

    async def _train(self, request: Mapping[str, Any], tell: Tell) -> int:
        place = Workplace(self._folder / request["folder"])
        background = await self._strange(place.spaces, tell)
        await asyncio.to_thread(place.put_background, background)
        name = request["name"]
        version = await asyncio.to_thread(self._shelf.next_version, name)
        order = {key: request[key] for key in ("name", "recipe", "license", "about")}
        await asyncio.to_thread(place.put_order, order | {"version": version})
        try:
            await asyncio.to_thread(train_apart, place.folder, tell)
        except ProcessEnded as error:
            if not error.was_killed:
                raise
            self._fault(f"probes/{name}", error)
            raise Exhausted(
                "the system ended the training, most likely because memory ran out: train on "
                "fewer or smaller examples, or give the server more memory"
            ) from error
        return await asyncio.to_thread(self._add, name, place)

    def _add(self, name: str, place: Workplace) -> int:
        return self._shelf.add(name, place.probe(), place.draft).info.version

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
        gather(collection, spaces, request, self._folder / request["folder"], tell, self._take)

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


def _check_unlike(spaces: Sequence[Space], name: str) -> None:
    """Of several spaces one is chosen, or each has a weight: an equal one would say nothing."""
    known: set[str] = set()
    for place, space in enumerate(spaces):
        if space.fingerprint in known:
            field = f"{name}[{place}]"
            raise InvalidArgument(
                f"`{field}` must be unlike the others, but {space.fingerprint!r} is there twice",
                field=field,
            )
        known.add(space.fingerprint)
