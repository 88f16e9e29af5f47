"""Fitting the transform of a space of a collection on what it holds."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from embedsvc.index import Catalog
from embedsvc.operations import Operation, Operations, Progress, Tell
from embedsvc.transforms import fit, width
from embedsvc.types import TransformRecipe

KIND = "fit-transform"

MOST_SEGMENTS = 50_000
"""Fitted on; more change the numbers little, and take memory: 400 MB at 1,024 dimensions."""

_STEPS = ("reading vectors", "fitting on {} segments", "moving all vectors")


async def begin(
    operations: Operations, catalog: Catalog, name: str, recipe: TransformRecipe, space: str = ""
) -> Operation:
    """Have a space of the collection `name` fitted.

    Raises CollectionNotFound, InvalidArgument, or OperationRunning while that is going on already.
    """
    collection = await asyncio.to_thread(catalog.get, name)
    width(recipe, collection.space(space).dim)
    named = collection.space_name(space)
    request = {"collection": name, "recipe": asdict(recipe), "space": named}
    target = f"collections/{name}" + (f"/spaces/{named}" if named else "")
    return await operations.submit(KIND, target, request)


async def work(catalog: Catalog, request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
    """Do what `begin` asked for."""
    recipe = TransformRecipe(**request["recipe"])
    name, space = request["collection"], request.get("space", "")

    def step(number: int, *words: object) -> None:
        tell(Progress(number, len(_STEPS), _STEPS[number].format(*words)))

    def run() -> int:
        step(0)
        collection = catalog.get(name)
        sample = collection.sample(MOST_SEGMENTS, recipe.language, space)
        step(1, f"{len(sample):,}")
        transform = fit(sample, recipe)
        step(2)
        return collection.adopt(transform, recipe, len(sample), space=space)

    return {"collection": name, "sequence": await asyncio.to_thread(run)}


async def remove(catalog: Catalog, name: str, space: str = "") -> None:
    """Compare the vectors of a space as they are again."""
    collection = await asyncio.to_thread(catalog.get, name)
    await asyncio.to_thread(collection.adopt, None, TransformRecipe(), 0, space=space)
