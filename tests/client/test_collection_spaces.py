"""Spaces of collections by name, and their transforms."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embedsvc import Client, Collection, OutputSpec
from embedsvc.client.operations import Status
from embedsvc.errors import (
    FailedPrecondition,
    InvalidArgument,
)
from embedsvc.samples import clips
from embedsvc.types import (
    Pooling,
    Segment,
    Space,
    Span,
    TransformRecipe,
    Windowing,
)


def test_several_spaces_are_searched_by_name(client: Client, clip: Path) -> None:
    specs = [OutputSpec("meaning", profile="semantic"), OutputSpec("who", profile="speaker")]
    name = f"test-{uuid.uuid4().hex[:8]}"
    made = client.create_collection(name, spaces=specs)
    for each in clips("archive")[:25:5]:
        made.add(each.path.stem, each.path, {"language": each.language})
    assert [each.name for each in made.spaces] == ["meaning", "who"]
    assert made.info().space == made.spaces[0].space
    embedded = client.embed(clip, outputs=specs)
    for output, space in zip(embedded.outputs, made.spaces, strict=True):
        assert output.space == space.space
        by_audio = made.search(clip, space=space.name)
        by_vector = made.search(
            vector=output.array, fingerprint=output.space.fingerprint, space=space.name
        )
        assert [hit.id for hit in by_audio] == [hit.id for hit in by_vector]
        assert by_audio[0].id == clip.stem
        (segment,) = made.segments(clip.stem, space.name)
        assert segment.vector @ output.array == pytest.approx(1, abs=1e-3)
    with pytest.raises(InvalidArgument, match=r"\(meaning, who\), but is 'smell'"):
        made.search(clip, space="smell")
    client.delete_collection(name)


def test_ready_vectors_come_in_every_space(client: Client) -> None:
    specs = [OutputSpec("low", layer=2), OutputSpec("high", layer=4)]
    name = f"test-{uuid.uuid4().hex[:8]}"
    made = client.create_collection(name, spaces=specs)
    random = np.random.default_rng(3)
    ready = {
        each.name: (
            [
                Segment(Span(n, n + 1), random.standard_normal(each.space.dim).astype(np.float32))
                for n in range(3)
            ],
            each.space.fingerprint,
        )
        for each in made.spaces
    }
    assert made.add_space_vectors("a", ready, {"year": 1990}).segment_count == 3
    assert made.get(["a"])["a"].metadata == {"year": 1990}
    for space, (segments, fingerprint) in ready.items():
        found = made.search(vector=segments[1].vector, fingerprint=fingerprint, space=space)
        assert (found[0].id, found[0].span) == ("a", Span(1, 2))
    with pytest.raises(InvalidArgument, match="but none of 'high'"):
        made.add_space_vectors("b", {"low": ready["low"]})
    with pytest.raises(InvalidArgument, match="but none of 'high'"):
        made.add_vectors("b", *ready["low"])
    client.delete_collection(name)


def test_a_space_is_fitted_by_name(client: Client) -> None:
    specs = [OutputSpec("low", layer=2), OutputSpec("high", layer=4)]
    name = f"test-{uuid.uuid4().hex[:8]}"
    made = client.create_collection(name, spaces=specs)
    for each in clips("archive")[:40]:
        made.add(each.path.stem, each.path)
    recipe = TransformRecipe(dim=8)
    fitted = made.fit(recipe, space="high")
    assert [each.fitted.dim if each.fitted else 0 for each in fitted.spaces] == [0, 8]
    assert fitted.fitted is None
    assert made.search(recording=clips("archive")[0].path.stem, space="high").hits
    pairs = list(made.mine(space="high", where="exists(nothing)"))
    assert pairs == []
    assert all(each.fitted is None for each in made.unfit(space="high").spaces)
    client.delete_collection(name)


@pytest.fixture
def spoken(client: Client) -> Iterator[Collection]:
    """Forty sentences in each of three languages, as vectors."""
    random = np.random.default_rng(3)
    space = Space("made", "made", "", 0, Pooling.MEAN, Windowing(), "", normalized=True, dim=12)
    made = client.create_collection(f"test-{uuid.uuid4().hex[:8]}", foreign_space=space)
    said = random.standard_normal((40, 12))
    for language, shared in zip("abc", 4 * random.standard_normal((3, 12)), strict=True):
        for number, vector in enumerate(said + shared):
            segment = Segment(Span(0, 16_000), vector.astype(np.float32))
            made.add_vectors(f"{language}{number}", [segment], "made", {"language": language})
    yield made
    client.delete_collection(made.name, missing_ok=True)


def test_a_transform_is_fitted_and_taken_away(spoken: Collection) -> None:
    seen: list[Status] = []
    info = spoken.fit(TransformRecipe(language="language", dim=10), tell=seen.append)
    assert info.fitted is not None
    assert (info.fitted.version, info.fitted.dim, info.fitted.segments) == (1, 10, 120)
    assert info.fitted.recipe == TransformRecipe(language="language", dim=10)
    assert info == spoken.info()
    (segment,) = spoken.segments("a7")
    found = spoken.search(vector=segment.vector, fingerprint="made", where='language != "a"')
    assert found[0].id in {"b7", "c7"}
    assert spoken.unfit().fitted is None


def test_what_keeps_a_transform_from_being_fitted_is_raised(spoken: Collection) -> None:
    with pytest.raises(FailedPrecondition, match="'tongue' is not"):
        spoken.fit(TransformRecipe(language="tongue"))
    with pytest.raises(InvalidArgument, match="but is 13"):
        spoken.fit(TransformRecipe(dim=13))


def test_an_interrupted_fit_is_cancelled(spoken: Collection) -> None:
    def leave(_: Status) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spoken.fit(tell=leave)
    assert spoken.fit().fitted is not None
