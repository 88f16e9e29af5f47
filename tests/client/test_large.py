"""Audio that one message cannot hold goes up in chunks, without the caller noticing."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from embedsvc import Client, Collection
from embedsvc.errors import (
    AudioTooLong,
    AudioUndecodable,
    MessageTooLarge,
    SampleRateOutOfRange,
)
from embedsvc.types import Floats


@pytest.fixture
def collection(small: Client) -> Iterator[Collection]:
    yield small.create_collection("large")
    small.delete_collection("large")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory, speech: Floats) -> Path:
    """A file of many bytes and few seconds."""
    path = tmp_path_factory.mktemp("large") / "wide.wav"
    soundfile.write(path, np.repeat(speech, 3), 48_000, subtype="DOUBLE")
    assert path.stat().st_size > 1_000_000
    return path


@pytest.fixture(scope="module")
def long(speech: Floats) -> bytes:
    """A file of few bytes and many seconds."""
    file = io.BytesIO()
    soundfile.write(file, np.tile(speech, 3), 16_000, format="OGG", subtype="OPUS")
    assert len(file.getvalue()) < 100_000
    return file.getvalue()


def test_a_file_of_many_bytes_is_embedded(small: Client, local: Client, wide: Path) -> None:
    there, here = small.embed(wide), local.embed(wide)
    assert there.digest == here.digest
    np.testing.assert_allclose(there.vector, here.vector, atol=2e-5)


def test_a_file_of_many_seconds_is_embedded(small: Client, local: Client, long: bytes) -> None:
    there, here = small.embed(long), local.embed(long)
    assert there.seconds > small.info().max_unary_seconds
    assert there.digest == here.digest
    np.testing.assert_allclose(there.vector, here.vector, atol=2e-5)


@pytest.mark.parametrize("seconds", [3, 9])
def test_long_samples_are_embedded(small: Client, local: Client, seconds: int) -> None:
    noise = np.random.default_rng(5).normal(0, 0.1, (seconds * 16_000, 2)).astype(np.float32)
    there, here = small.embed((noise, 16_000)), local.embed((noise, 16_000))
    assert there.digest == here.digest
    np.testing.assert_allclose(there.vector, here.vector, atol=2e-5)
    first = small.embed((noise, 16_000), channels="first")
    assert first.digest != there.digest


def test_uploads_bring_the_same_errors(small: Client, tmp_path: Path) -> None:
    path = tmp_path / "noise.wav"
    path.write_bytes(bytes(range(1, 256)) * 2000)
    with pytest.raises(AudioUndecodable):
        small.embed(path)
    with pytest.raises(SampleRateOutOfRange):
        small.embed((np.zeros(100_000, np.float32), 100))


def test_large_recordings_are_stored_and_their_copies_noticed(
    collection: Collection, wide: Path, long: bytes
) -> None:
    for name, source in (("wide", wide), ("long", long)):
        added = collection.add(name, source, {"kind": "large"})
        assert added.segment_count > 0
        assert collection.add(name, source, {"kind": "large"}, skip_unchanged=True).unchanged
    assert collection.count('kind = "large"') == 2


def test_a_recording_too_long_for_a_batch_is_told_so_in_its_place(
    collection: Collection, clip: Path, long: bytes
) -> None:
    stored, refused = collection.add_batch([("clip", clip, {}), ("long", long, {})])
    assert stored.error is None
    assert isinstance(refused.error, AudioTooLong)


def test_what_cannot_be_sent_is_refused_with_the_limit(
    small: Client, collection: Collection, wide: Path
) -> None:
    calls: list[Any] = [
        lambda: collection.search(wide),
        lambda: small.embed_batch([wide]),
        lambda: collection.add_batch([("wide", wide, {})]),
    ]
    for call in calls:
        with pytest.raises(MessageTooLarge, match="200000 bytes") as caught:
            call()
        assert caught.value.facts["max_bytes"] == "200000"


def test_a_query_too_long_is_refused(collection: Collection, long: bytes) -> None:
    with pytest.raises(AudioTooLong):
        collection.search(long)
