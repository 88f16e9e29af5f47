"""Material with a known answer: what is said lies in few dimensions, under voices and languages."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.errors import InvalidArgument
from embedsvc.training.alignment import (
    Aligned,
    Material,
    Plan,
    Point,
    align,
    contrast,
    document,
    project,
)

SMALL = Plan(dim=6, steps=80, groups=24, languages=3, rate=0.01, decay=1.0, every=10)
MEANINGS, LOUD = 5, 12


def material(contents: int = 80, languages: int = 4, seed: int = 0) -> Material:
    random = np.random.default_rng(seed)
    said = random.standard_normal((contents, 1, MEANINGS))
    meaning = np.broadcast_to(said, (contents, languages, MEANINGS))
    tongue = 3 * random.standard_normal((1, languages, LOUD))
    noise = random.standard_normal((contents, languages, LOUD))
    loud = np.broadcast_to(tongue, noise.shape) + 2 * noise
    turn = np.linalg.qr(random.standard_normal((MEANINGS + LOUD, MEANINGS + LOUD)))[0]
    vectors = (np.concatenate([meaning, loud], axis=2) @ turn).reshape(1, -1, MEANINGS + LOUD)
    again = vectors + 0.1 * random.standard_normal(vectors.shape)
    return Material(
        np.concatenate([vectors, again]).astype(np.float32),
        np.tile([f"l{each}" for each in range(languages)], contents),
        np.repeat([f"g{each}" for each in range(contents)], languages),
        np.full(contents * languages, "one"),
    )


def quietly(point: Point, most: int) -> None:
    assert 0 < point.step <= most


@pytest.fixture(scope="module")
def aligned() -> Aligned:
    return align(material(), None, SMALL, quietly)


def test_more_is_found_in_groups_that_were_kept_back(aligned: Aligned) -> None:
    before, after = aligned.before.together.hits[1], aligned.after.together.hits[1]
    assert before < 0.4
    assert after > 0.7
    assert aligned.counts == {
        "clips": 72 * 4,
        "groups": 72,
        "languages": 4,
        "strangers": 0,
        "clips_kept_back": 8 * 4,
        "groups_kept_back": 8,
    }


def test_what_is_kept_is_the_best_of_all_checks(aligned: Aligned) -> None:
    best = max(point.recall for point in aligned.points)
    assert aligned.after.together.hits[1] == pytest.approx(best)
    assert aligned.points[0].step == 0


def test_groups_never_seen_at_all_are_found_too(aligned: Aligned) -> None:
    other = material(contents=30, seed=0)
    mean, scale, matrix = aligned.parts
    assert (mean.shape, scale.shape, matrix.shape) == ((17,), (17,), (17, 6))
    assert {part.dtype for part in aligned.parts} == {np.dtype(np.float32)}
    vectors = aligned(other.vectors[0])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(vectors, project(aligned.parts, other.vectors[0]))


def test_the_same_seed_gives_the_same_projection(aligned: Aligned) -> None:
    again = align(material(), None, SMALL, quietly)
    for one, other in zip(aligned.parts, again.parts, strict=True):
        np.testing.assert_array_equal(one, other)
    other_seed = align(material(), None, replace(SMALL, seed=2), quietly)
    assert not np.array_equal(other_seed.parts[2], aligned.parts[2])


def test_it_ends_when_nothing_gets_better() -> None:
    patient = replace(SMALL, steps=400, patience=2)
    told: list[int] = []
    found = align(material(), None, patient, lambda point, _: told.append(point.step))
    assert told[-1] < 400
    best = max(range(len(found.points)), key=lambda place: found.points[place].recall)
    assert len(found.points) - 1 - best == 2


def test_vectors_of_texts_teach_as_well() -> None:
    plain = material()
    exact = plain.vectors[0].reshape(80, 4, 17).mean(axis=1)  # what all languages share
    teachers = np.repeat(exact, 4, axis=0)
    taught = align(replace(plain, teachers=teachers), None, SMALL, quietly)
    assert taught.after.together.hits[1] > taught.before.together.hits[1] + 0.2


def test_too_little_in_common_is_refused() -> None:
    few = material(contents=19)
    with pytest.raises(InvalidArgument, match=r"at least 20 groups .* but has 19"):
        align(few, None, SMALL, quietly)
    alone = replace(material(), languages=np.full(320, "one"))
    with pytest.raises(InvalidArgument, match="but has 0"):
        align(alone, None, SMALL, quietly)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dim", 0),
        ("groups", 1),
        ("languages", 1),
        ("temperature", 0),
        ("hard", 2),
        ("kept_back", 1),
    ],
)
def test_a_plan_that_can_not_be_followed_is_refused(name: str, value: float) -> None:
    with pytest.raises(InvalidArgument, match=f"`{name}` must not be {value}"):
        Plan(**{name: value})  # type: ignore[arg-type]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_loss_is_that_of_every_pair_on_its_own(seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    outputs = F.normalize(torch.randn(12, 4, generator=random), dim=1)
    groups, languages = torch.arange(12) // 3, torch.arange(12) % 3
    scores = outputs @ outputs.T / 0.1
    losses = [
        -torch.log_softmax(torch.cat([scores[i, j : j + 1], scores[i, groups != groups[i]]]), 0)[0]
        for i in range(12)
        for j in range(12)
        if i != j and groups[i] == groups[j]
    ]
    found = contrast(outputs, groups, languages, 0.1)
    torch.testing.assert_close(found, torch.stack(losses).mean())


def test_one_language_twice_is_no_pair() -> None:
    outputs = F.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    groups = torch.tensor([0, 0, 0, 1])
    languages = torch.tensor([0, 0, 1, 0])
    scores = outputs @ outputs.T
    wanted = F.softplus(scores[:, 3] - scores[:, 2])[:2]
    back = F.softplus(scores[2, 3] - scores[2, :2])
    found = contrast(outputs, groups, languages, 1.0)
    torch.testing.assert_close(found, torch.cat([wanted, back]).mean())


def test_a_document_tells_the_curve_and_both_figures(aligned: Aligned) -> None:
    found = document(aligned)
    assert found["checks"][0]["loss"] is None
    assert [check["step"] for check in found["checks"]] == [point.step for point in aligned.points]
    assert found["before"]["together"]["r1"] < found["after"]["together"]["r1"]
    assert len(found["after"]["pairs"]) == 4 * 3


def test_strangers_are_wrong_for_all() -> None:
    random = torch.Generator().manual_seed(0)
    outputs = F.normalize(torch.randn(6, 3, generator=random), dim=1)
    groups, languages = torch.arange(6) // 2, torch.arange(6) % 2
    alone = contrast(outputs, groups, languages, 0.1)
    assert contrast(outputs, groups, languages, 0.1, outputs[:0]) == alone
    among = contrast(outputs, groups, languages, 0.1, outputs[:1])
    assert among > alone


def test_it_begins_with_what_the_model_has() -> None:
    known = material()
    base = (np.zeros(17, np.float32), np.ones(17, np.float32), np.eye(17, 6, dtype=np.float32))
    still = align(known, base, replace(SMALL, steps=0), quietly)
    np.testing.assert_array_equal(still.parts[2], base[2])
    assert still.before.together == still.after.together
    near = align(known, base, replace(SMALL, decay=50.0), quietly)
    far = align(known, base, replace(SMALL, decay=0.0), quietly)
    moved = [np.linalg.norm(each.parts[2] - base[2]) for each in (near, far)]
    assert moved[0] < moved[1] / 2
