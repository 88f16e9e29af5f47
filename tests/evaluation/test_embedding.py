from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from embedsvc.audio import features, log_mel
from embedsvc.encoder import pool
from embedsvc.evaluation import mfcc_delta_vector
from embedsvc.evaluation.embedding import Pass, Subject, ahead, embed, samples_of
from embedsvc.evaluation.phones import greedy
from embedsvc.evaluation.speech import Row
from embedsvc.types import Ask, Pooling


def test_a_clip_gets_what_the_encoder_gives_it_alone(
    subject: Subject, passed: Pass, rows: tuple[Row, ...]
) -> None:
    clips = passed.clips
    assert clips.rows == rows
    assert not passed.failed
    assert subject.head is not None
    for place in (0, len(rows) // 2, len(rows) - 1):
        samples = samples_of(rows[place])
        frames = features(samples)
        ask = Ask(subject.layers, (0, len(frames)), ((0, len(frames)),))
        (alone,) = subject.encoder.encode([frames], [ask])
        for at, layer in enumerate(subject.layers):
            vector = pool(alone.moments[layer][0], Pooling.MEAN_STD)
            np.testing.assert_allclose(clips.states[place, at], vector, atol=1e-4)
        own = subject.encoder.finish(subject.plan, alone.moments[subject.plan.layer][0])
        np.testing.assert_allclose(clips.default[place], own, atol=1e-4)
        np.testing.assert_allclose(clips.cepstra[place], mfcc_delta_vector(log_mel(samples)))
        assert clips.phones[place] == greedy(subject.head(alone.frames[subject.head.layer]))


def test_a_clip_that_cannot_be_read_is_named_and_left_out(
    subject: Subject, rows: tuple[Row, ...], tmp_path: Path
) -> None:
    (tmp_path / "broken.opus").write_bytes(b"no sound")
    broken = replace(rows[0], path=tmp_path / "broken.opus")
    absent = replace(rows[0], path=tmp_path / "absent.opus")
    told: list[tuple[int, int]] = []
    done = embed(subject, [broken, rows[1], absent], lambda *counts: told.append(counts))
    assert done.clips.rows == (rows[1],)
    assert len(done.failed) == 2
    assert told[-1] == (3, 3)


def test_nothing_gives_nothing(subject: Subject) -> None:
    done = embed(subject, [], lambda *_: None)
    assert len(done.clips) == 0
    assert done.clips.features()["layer 0"].shape == (0, 96)


def test_a_change_is_heard(subject: Subject, rows: tuple[Row, ...], passed: Pass) -> None:
    changed = embed(subject, rows[:1], lambda *_: None, lambda _, samples: samples[::-1].copy())
    assert np.abs(changed.clips.states[0] - passed.clips.states[0]).max() > 1e-3


def test_work_ahead_keeps_the_order_and_does_not_run_away() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(20):
            taken.append(item)
            yield item

    def square(item: int) -> int:
        return item * item

    with ThreadPoolExecutor(2) as threads:
        results = ahead(threads, items(), square)
        assert next(results) == 0
        assert len(taken) < 6
        assert list(results) == [item * item for item in range(1, 20)]
