"""Features of streams: normalized by what was heard so far, whatever the chunks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc import samples
from embedsvc.audio import Door, RunningMel, active, decode, features, log_mel, prior
from embedsvc.audio.running import MOST_FRAMES, PRIOR_FRAMES
from embedsvc.timing import HOP
from embedsvc.types import Floats

RATE = 16_000


@pytest.fixture(scope="module")
def speech() -> Floats:
    clips = list(samples.clips("archive"))
    return np.concatenate([decode(clip.data(), Door()).samples for clip in clips])


def test_the_prior_is_the_speech_that_comes_with_the_package(speech: Floats) -> None:
    mel = log_mel(speech)
    sounding = np.repeat(active(speech), 2)[: len(mel)]
    heard = mel[: len(sounding)][sounding].astype(np.float64)
    begun = prior()
    mean = begun.total / begun.count
    np.testing.assert_allclose(mean, heard.mean(axis=0), atol=0.01)
    spread = np.sqrt(begun.squares / begun.count - mean**2)
    np.testing.assert_allclose(spread, heard.std(axis=0), atol=0.01)


def test_after_a_while_a_stream_is_normalized_as_a_recording(speech: Floats) -> None:
    part = speech[: 15 * RATE]
    found = prior().with_sound(part).normalized(log_mel(part)).features
    assert np.corrcoef(found.ravel(), features(part).features.ravel())[0, 1] > 0.99


@given(cuts=st.lists(st.integers(1, 5 * RATE), max_size=5))
def test_what_is_heard_does_not_depend_on_where_it_is_cut(speech: Floats, cuts: list[int]) -> None:
    part = speech[: 5 * RATE]
    whole, running = RunningMel(0, 0, prior()), RunningMel(0, 0, prior())
    whole.hear(part, 0)
    for end in (*sorted(cuts), len(part)):
        running.hear(part[:end], 0)
    np.testing.assert_allclose(running.statistics.total, whole.statistics.total)
    assert running.statistics.count == whole.statistics.count
    np.testing.assert_allclose(
        running.window(0)[0].features, whole.window(0)[0].features, atol=1e-5
    )


def test_silence_does_not_count(speech: Floats) -> None:
    begun = prior().with_sound(np.zeros(RATE, np.float32))
    assert begun.count == PRIOR_FRAMES
    part = np.concatenate([speech[:RATE], np.zeros(60 * RATE, np.float32)])
    assert PRIOR_FRAMES < begun.with_sound(part).count <= PRIOR_FRAMES + 110


def test_what_was_long_ago_is_forgotten(speech: Floats) -> None:
    loud = prior().with_sound(speech[: 60 * RATE])
    quiet = loud
    for at in range(0, 100 * RATE, RATE):
        quiet = quiet.with_sound(0.1 * speech[at : at + RATE])
    assert quiet.count <= MOST_FRAMES
    fell = (quiet.total / quiet.count - loud.total / loud.count).mean()
    assert fell == pytest.approx(2 * np.log(0.1), abs=1.0)


def test_a_stream_goes_on_from_what_was_counted(speech: Floats) -> None:
    part = speech[: 4 * RATE]
    whole = RunningMel(0, 0, prior())
    whole.hear(part[: 3 * RATE], 0)
    again = RunningMel(2 * RATE // HOP, whole.counted, whole.statistics)
    again.hear(part[2 * RATE :], 2 * RATE)
    whole.hear(part, 0)
    np.testing.assert_array_equal(again.statistics.total, whole.statistics.total)
    again.forget(3 * RATE // HOP)
    first = 3 * RATE // HOP
    np.testing.assert_array_equal(again.window(first)[0].features, whole.window(first)[0].features)
