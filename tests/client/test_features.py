"""Batches of vectors for a training loop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from embedsvc import Client, OutputSpec, Segmentation
from embedsvc.client.features import Features, Sound, Wanted, layers
from embedsvc.errors import AudioUndecodable, EmbedsvcError, InvalidArgument
from embedsvc.samples import clips

SOUNDS = [(clip.path, {"voice": clip.voice}) for clip in clips()[:37]]


class Speech(torch.utils.data.IterableDataset[Any]):
    """What the documentation gives to PyTorch."""

    def __init__(self, features: Features) -> None:
        self.features = features

    def __iter__(self) -> Iterator[Any]:
        worker = torch.utils.data.get_worker_info()
        if worker is None:
            return iter(self.features)
        return iter(self.features.shard(worker.id, worker.num_workers))


def test_batches_come_in_order_with_what_is_known(remote: Client) -> None:
    batches = list(Features(remote, SOUNDS, size=10))
    assert [len(vectors) for vectors, _ in batches] == [10, 10, 10, 7]
    known = [row for _, metadata in batches for row in metadata]
    assert [row["source"] for row in known] == list(range(37))
    assert [row["voice"] for row in known] == [clip.voice for clip in clips()[:37]]
    vectors = np.concatenate([vectors for vectors, _ in batches])
    for place in (0, 17, 36):
        alone = remote.embed(SOUNDS[place][0])
        np.testing.assert_allclose(vectors[place], alone.vector, atol=2e-5)
        assert (known[place]["start"], known[place]["end"]) == (0, alone.seconds)


def test_it_can_be_iterated_again(remote: Client) -> None:
    features = Features(remote, SOUNDS[:3], size=3)
    (first,), (second,) = list(features), list(features)
    np.testing.assert_array_equal(first.vectors, second.vectors)


def test_who_leaves_early_waits_for_nothing_more(remote: Client) -> None:
    batches = iter(Features(remote, SOUNDS * 40, size=4))
    assert len(next(batches).vectors) == 4
    batches.close()  # type: ignore[attr-defined]  # a generator


@given(
    total=st.integers(0, 40),
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=3),
)
def test_shares_part_the_whole_however_often_they_are_parted(total: int, counts: list[int]) -> None:
    shares = [Features("nowhere:1", [b""] * total)]
    for count in counts:
        shares = [each.shard(index, count) for each in shares for index in range(count)]
    taken = [place for each in shares for place in range(each.share[0], total, each.share[1])]
    assert sorted(taken) == list(range(total))


def test_a_loader_with_workers_sees_every_sound_once(target: str) -> None:
    loader = torch.utils.data.DataLoader(
        Speech(Features(target, SOUNDS[:12], size=4)),
        batch_size=None,
        num_workers=2,
        multiprocessing_context="spawn",
    )
    seen = []
    for vectors, metadata in loader:
        assert isinstance(vectors, torch.Tensor)
        assert vectors.shape == (len(metadata), 256)
        seen += [int(row["source"]) for row in metadata]
    assert sorted(seen) == list(range(12))


def test_layers_are_stacked(remote: Client) -> None:
    wanted = Wanted(layers([2, 6]))
    (batch,) = Features(remote, SOUNDS[:3], wanted)
    assert batch.vectors.shape == (3, 2, 192)
    alone = remote.embed(SOUNDS[1][0], outputs=layers([6]))
    np.testing.assert_allclose(batch.vectors[1, 1], alone.vector, atol=2e-5)
    uneven = Wanted((OutputSpec("a"), *layers([2])))
    with pytest.raises(InvalidArgument, match="one dimension"):
        list(Features(remote, SOUNDS[:1], uneven))


def test_long_sounds_are_many_rows(remote: Client) -> None:
    wanted = Wanted(segmentation=Segmentation(16_000, 16_000))
    (batch,) = Features(remote, [SOUNDS[0][0]], wanted)
    ends = [row["end"] for row in batch.metadata]
    assert ends[:3] == [1, 2, 3]
    assert [row["start"] for row in batch.metadata][1:] == ends[:-1]


def test_samples_and_their_rate_are_a_sound(remote: Client, wav: bytes, speech: Any) -> None:
    sounds: list[Sound] = [(speech, 16_000), ((speech, 16_000), {"n": 1}), wav]
    (batch,) = Features(remote, sounds)
    assert [row.get("n") for row in batch.metadata] == [None, 1, None]
    np.testing.assert_allclose(batch.vectors[0], batch.vectors[2], atol=1e-3)


def test_a_sound_that_fails_is_told_or_raised(remote: Client, tmp_path: Path) -> None:
    sounds: list[Sound] = [
        SOUNDS[0],
        (b"no sound in here" * 9, {}),
        tmp_path / "gone.wav",
        SOUNDS[1],
    ]
    failed: dict[int, EmbedsvcError] = {}
    (batch,) = Features(remote, sounds, failed=failed.__setitem__)
    assert [row["source"] for row in batch.metadata] == [0, 3]
    assert {place: type(error) for place, error in failed.items()} == {
        1: AudioUndecodable,
        2: AudioUndecodable,
    }
    with pytest.raises(AudioUndecodable):
        list(Features(remote, sounds))


def test_what_is_wrong_with_all_is_raised_even_so(remote: Client) -> None:
    failed: dict[int, EmbedsvcError] = {}
    wanted = Wanted((OutputSpec(layer=99),))
    with pytest.raises(InvalidArgument, match="layer"):
        list(Features(remote, SOUNDS, wanted, failed=failed.__setitem__))
    assert not failed


def test_frames_are_refused(remote: Client) -> None:
    from embedsvc import Pooling

    wanted = Wanted((OutputSpec(pooling=Pooling.NONE),))
    with pytest.raises(InvalidArgument, match="must be vectors"):
        list(Features(remote, SOUNDS[:1], wanted))


@pytest.mark.parametrize("wrong", [{"size": 0}, {"in_flight": 0}, {"share": (2, 2)}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=f"`{next(iter(wrong))}` must be"):
        Features("nowhere:1", [], **wrong)
