"""How an accelerator comes to be: built, added to, saved, damaged, lost and made again."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from embedsvc.filters import Range
from embedsvc.index import Catalog, Collection, WriteMode
from embedsvc.index.accelerator import RECIPE
from embedsvc.transforms import fit
from embedsvc.types import Recording, Segment, Span, TransformRecipe
from tests.index.builders import SEGMENTATION, space
from tests.index.test_accelerator import DIM, QUICK, near
from tests.index.test_recovery import steps


def parts(count: int, first: int = 0) -> list[Recording]:
    return [
        Recording(f"p{n}", (Segment(Span(0, 1), near(n, 1 if n % 3 else -1)),), {"n": n})
        for n in range(first, first + count)
    ]


def wait_until(collection: Collection, segments: int) -> None:
    deadline = time.monotonic() + 20
    while (info := collection.info().index) is None or info.segments < segments:
        assert time.monotonic() < deadline, (info, collection._upkeeps[0].acceleration_error)
        time.sleep(0.01)


def test_the_background_accelerates_adds_to_the_graph_and_begins_it_anew(tmp_path: Path) -> None:
    tuning = replace(QUICK, tail_limit=300, dead_floor=50, dead_share=0.1)
    with Catalog(tmp_path, tuning) as catalog:
        collection = catalog.create("x", space(DIM), SEGMENTATION)
        collection.add(parts(600), mode=WriteMode.UPSERT)
        wait_until(collection, 600)
        first = collection._store.view.spaces[0].base.tuned
        collection.add(parts(700, 600), mode=WriteMode.UPSERT)
        wait_until(collection, 1_300)
        second = collection._store.view.spaces[0].base.tuned
        assert first is not None
        assert second is not None
        assert first.trained == second.trained == 600
        assert first.accelerator is not None
        assert len(first.accelerator) == 600
        collection.delete([f"p{n}" for n in range(400)])
        wait_until_trained(collection, 900)
        query = near(5, 1)
        assert len(collection.search(query, 900).hits) == 900
        assert collection._store.view.spaces[0].base.columns is not None


def wait_until_trained(collection: Collection, segments: int) -> None:
    deadline = time.monotonic() + 20
    while (
        tuned := collection._store.view.spaces[0].base.tuned
    ) is None or tuned.trained != segments:
        assert time.monotonic() < deadline, (tuned, collection._upkeeps[0].acceleration_error)
        time.sleep(0.01)


def test_what_is_newer_than_the_graph_is_found(tmp_path: Path) -> None:
    with Catalog(tmp_path, QUICK) as catalog:
        collection = catalog.create("x", space(DIM), SEGMENTATION)
        collection.add(parts(600), mode=WriteMode.UPSERT)
        collection.compact()
        collection.accelerate()
        collection.add(parts(200, 600), mode=WriteMode.UPSERT)
        collection.compact()
        for n in range(600, 800, 7):
            for condition in (None, Range("n", gte=100)):
                found = collection.search(near(n, 1 if n % 3 else -1), 3, condition)
                assert found.hits[0].id == f"p{n}"


def test_the_first_queries_make_it_tune_again_and_are_then_known(tmp_path: Path) -> None:
    with Catalog(tmp_path, QUICK) as catalog:
        collection = catalog.create("x", space(DIM), SEGMENTATION)
        collection.add(parts(600), mode=WriteMode.UPSERT)
        collection.compact()
        collection.accelerate()
        first = collection._store.view.spaces[0].base.tuned
        assert first is not None
        assert (first.asked, first.info.measured_on) == (0, 200)
        for seed in range(250):
            collection.search(near(seed, 1), 1)
        deadline = time.monotonic() + 20
        while (again := collection._store.view.spaces[0].base.tuned) is first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert again is not None
        assert (again.asked, again.info.measured_on) == (200, 400)
        assert again.accelerator is first.accelerator


def test_a_graph_is_of_the_transform_that_is_searched_through(tmp_path: Path) -> None:
    recipe = TransformRecipe(dim=12)
    with Catalog(tmp_path, replace(QUICK, accelerate_from=10**6)) as catalog:
        collection = catalog.create("x", space(DIM), SEGMENTATION)
        collection.add(parts(600), mode=WriteMode.UPSERT)
        collection.compact()
        collection._store.tuning = QUICK
        collection.accelerate()
        transform = fit(collection.sample(600), recipe)
        collection.adopt(transform, recipe, 600)
        collection.accelerate()
        base = collection._store.view.spaces[0].base
        assert base.tuned is not None
        assert base.tuned.accelerator is not None
        assert (base.dim, base.tuned.accelerator.index.d) == (12, 12)
        for n in range(0, 600, 97):
            assert collection.search(near(n, 1 if n % 3 else -1), 2).hits[0].id == f"p{n}"
        collection.adopt(None, TransformRecipe(), 0)
        assert collection._store.view.spaces[0].base.dim == DIM
        assert collection.search(near(1, 1), 2).hits[0].id == "p1"
        collection.accelerate()
        info = collection.info().index
        assert info is not None
        assert info.recipe == RECIPE


def test_a_target_that_is_out_of_reach_leaves_all_exact_and_says_why(tmp_path: Path) -> None:
    with Catalog(tmp_path, replace(QUICK, recall_target=1.0)) as catalog:
        collection = catalog.create("x", space(DIM), SEGMENTATION)
        collection.add(parts(600), mode=WriteMode.UPSERT)
        collection.compact()
        collection.accelerate()
        info = collection.info().index
        assert info is not None
        assert (info.recipe, info.recall) == ("flat-fp16", 1.0)
        assert "100.0% are wanted" in info.reason
        assert collection.search(near(1, 1), 5).exact
    with Catalog(tmp_path, replace(QUICK, recall_target=1.0)) as catalog:
        assert catalog.get("x").info().index == info


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Catalog(tmp_path, QUICK) as catalog:
        collection = catalog.create("x", space(DIM), SEGMENTATION)
        collection.add(parts(600), mode=WriteMode.UPSERT)
        collection.compact()
        collection.accelerate()
    (folder,) = (tmp_path / "collections").iterdir()
    return folder


def graph_of(folder: Path) -> Path:
    (graph,) = folder.glob("base-*.accelerator")
    return graph


def is_accelerated(folder: Path) -> bool:
    """Open it without work in the background, and look; its answers are good either way."""
    still = replace(QUICK, accelerate_from=10**6, columns_from=10**6)
    with Catalog(folder.parent.parent, still) as catalog:
        collection = catalog.get("x")
        for n in range(0, 600, 97):
            found = collection.search(near(n, 1 if n % 3 else -1), 2)
            assert found.hits[0].id == f"p{n}"
        assert len(collection._store.view.spaces[0].base) == 600
        return collection._store.view.spaces[0].base.proposals is not None


def test_an_accelerator_is_there_after_a_restart(folder: Path) -> None:
    assert is_accelerated(folder)


def test_a_damaged_accelerator_is_detected_and_the_base_kept(folder: Path) -> None:
    graph = graph_of(folder)
    whole = graph.read_bytes()
    for place in range(0, len(whole), len(whole) // 12):
        graph.write_bytes(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
        assert not is_accelerated(folder)
        graph.write_bytes(whole[:place])
        assert not is_accelerated(folder)
    graph.write_bytes(whole)
    assert is_accelerated(folder)


@pytest.mark.parametrize("how", ["damaged", "lost"])
def test_an_accelerator_that_is_gone_is_made_again(folder: Path, how: str) -> None:
    graph = graph_of(folder)
    if how == "lost":
        graph.unlink()
    else:
        graph.write_bytes(b"\x00" * 1_000)
    with Catalog(folder.parent.parent, QUICK) as catalog:
        wait_until(catalog.get("x"), 600)
    assert is_accelerated(folder)
    assert graph_of(folder) != graph


def test_the_accelerator_of_another_collection_is_not_believed(folder: Path) -> None:
    with Catalog(folder.parent.parent, QUICK) as catalog:
        other = catalog.create("y", space(DIM), SEGMENTATION)
        other.add(parts(600, 5_000), mode=WriteMode.UPSERT)
        other.compact()
        other.accelerate()
    (stranger,) = (path for path in folder.parent.iterdir() if path != folder)
    graph_of(folder).write_bytes(graph_of(stranger).read_bytes())
    assert not is_accelerated(folder)


def test_acceleration_may_stop_at_any_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph_of(folder).unlink()
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    still = replace(QUICK, accelerate_from=10**6)
    stopped = 0
    for fail_at in range(1, 20):
        for path in folder.iterdir():
            path.unlink()
        for name, content in kept.items():
            (folder / name).write_bytes(content)
        with Catalog(folder.parent.parent, still) as catalog:
            collection = catalog.get("x")
            collection._store.tuning = QUICK
            with monkeypatch.context() as patch:
                ran = steps(patch, fail_at)
                try:
                    collection.accelerate()
                except KeyboardInterrupt:
                    stopped += 1
        complete = is_accelerated(folder)
        assert not list(folder.glob("*.tmp"))
        assert complete or ran() >= fail_at
        if ran() < fail_at:
            break
    assert stopped >= 4


def test_a_collection_is_closed_while_its_graph_is_built(tmp_path: Path) -> None:
    with Catalog(tmp_path, replace(QUICK, tail_limit=300)) as catalog:
        for round_ in range(5):
            collection = catalog.create("x", space(DIM), SEGMENTATION)
            collection.add(parts(900), mode=WriteMode.UPSERT)
            time.sleep(0.02 * round_)
            catalog.delete("x")
        assert list((tmp_path / "collections").iterdir()) == []
