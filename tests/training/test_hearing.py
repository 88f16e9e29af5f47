from pathlib import Path

import numpy as np
import pytest

from embedsvc.audio import Door, decode, features
from embedsvc.encoder import Encoder, pool, resolve
from embedsvc.evaluation.speech import Row
from embedsvc.samples import clips
from embedsvc.training import hearing
from embedsvc.training.hearing import Wanted, hear
from embedsvc.types import Ask, Pooling

WANTED = Wanted(2, Pooling.MEAN_STD)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder.load(resolve("mini"), threads=1)


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return [
        Row(
            "set",
            each.path,
            "train",
            each.language,
            each.voice,
            "",
            "",
            each.seconds,
            each.group,
            "",
        )
        for each in clips("archive")[:5]
    ]


def ignore(done: int, total: int) -> None:
    assert done <= total


def test_the_first_view_is_the_clip_as_it_is(encoder: Encoder, rows: list[Row]) -> None:
    heard = hear(encoder, rows, WANTED, ignore)
    assert heard.vectors.shape == (2, 5, 384)
    assert heard.places.tolist() == [0, 1, 2, 3, 4]
    for place, row in enumerate(rows):
        frames = features(decode(row.path.read_bytes(), Door()).samples)
        (answer,) = encoder.encode([frames], [Ask((2,), runs=((0, len(frames)),))])
        alone = pool(answer.moments[2][0], Pooling.MEAN_STD)
        np.testing.assert_allclose(heard.vectors[0, place], alone, atol=2e-4)
    assert not np.allclose(heard.vectors[0], heard.vectors[1], atol=0.01)


def test_what_can_not_be_read_is_left_out_and_named(
    encoder: Encoder, rows: list[Row], tmp_path: Path
) -> None:
    noise = tmp_path / "noise.flac"
    noise.write_bytes(b"no sound in here" * 64)
    broken = Row("set", noise, "train", "eng", "", "", "", 1.0, "g", "")
    heard = hear(encoder, [rows[0], broken, rows[1]], WANTED, ignore)
    assert heard.places.tolist() == [0, 2]
    (line,) = heard.failed
    assert line.startswith(str(noise))
    nothing = hear(encoder, [broken], WANTED, ignore)
    assert len(nothing.places) == 0


def test_what_was_heard_is_kept(
    encoder: Encoder, rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "kept"
    first = hear(encoder, rows, WANTED, ignore, cache)
    assert len(list(cache.iterdir())) == 1
    with monkeypatch.context() as patch:
        patch.setattr(hearing, "_read", lambda *_: pytest.fail("it was kept"))
        again = hear(encoder, rows, WANTED, ignore, cache)
    np.testing.assert_array_equal(first.vectors, again.vectors)
    hear(encoder, rows, Wanted(3, Pooling.MEAN), ignore, cache)
    assert len(list(cache.iterdir())) == 2
