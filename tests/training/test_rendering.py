import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.timing import SAMPLE_RATE
from embedsvc.training.espeak import Spoken, Voice
from embedsvc.training.rendering import (
    PEAK,
    Fault,
    Sound,
    frame_at,
    is_spelled_out,
    render,
)
from embedsvc.training.utterances import Utterance

RATE = 22_050


def utterance(text: str = "some words", lead: int = 800, tail: int = 1_600) -> Utterance:
    return Utterance(text, "", Voice("gmw/en"), lead, tail)


def spoken(seconds: float, *phones: tuple[float, str], silence: float = 0.3) -> Spoken:
    """A tone between two silences, with phones at seconds from the start of the tone."""
    still = np.zeros(round(silence * RATE), np.int16)
    tone = 8_000 * np.sin(np.arange(round(seconds * RATE)) * 2 * np.pi * 440 / RATE)
    samples = np.concatenate([still, tone.astype(np.int16), still])
    named = tuple((round((silence + at) * RATE), name) for at, name in phones)
    return Spoken(samples, RATE, named)


def sound_of(heard: Spoken, said: Utterance) -> Sound:
    sound = render(heard, said, "eng")
    assert isinstance(sound, Sound)
    return sound


def test_silence_is_trimmed_to_the_margins() -> None:
    sound = sound_of(spoken(1.0, (0, "a")), utterance(lead=800, tail=1_600))
    assert sound.seconds == pytest.approx(1.0 + 2_400 / SAMPLE_RATE, abs=0.01)


def test_a_lead_longer_than_the_silence_is_filled_up() -> None:
    sound = sound_of(spoken(1.0, (0, "a"), silence=0.01), utterance(lead=1_600))
    assert not sound.samples[:1_300].any()
    assert sound.phones.times[0] == pytest.approx(9, abs=1)


def test_every_utterance_is_equally_loud() -> None:
    assert np.abs(sound_of(spoken(1.0, (0, "a")), utterance()).samples).max() == pytest.approx(PEAK)


def test_phones_begin_at_the_frame_where_they_are_heard() -> None:
    sound = sound_of(spoken(1.0, (0, "a"), (0.5, "b")), utterance(lead=800))
    assert sound.phones.phones == ("a", "b")
    begin, middle, end = sound.phones.times
    assert begin == pytest.approx(4, abs=1)
    assert middle - begin == pytest.approx(50, abs=1)
    assert end == len(sound.features())


def test_features_are_log_mel_of_half_precision() -> None:
    features = sound_of(spoken(1.0, (0, "a")), utterance()).features()
    assert features.dtype == np.float16
    assert features.shape[1] == 80


@pytest.mark.parametrize(
    ("heard", "text", "fault"),
    [
        (spoken(0.0), "some words", Fault.SILENT),
        (spoken(0.1, (0, "a")), "some words", Fault.LENGTH),
        (spoken(9.0, (0, "a")), "some words", Fault.LENGTH),
        (spoken(1.0, (0, "(en)"), (0.1, "a")), "some words", Fault.SWITCHED),
        (spoken(1.0, *((at / 10, "a") for at in range(10))), "abcd", Fault.SPELLED),
    ],
)
def test_what_is_not_fit_is_dropped_and_why(heard: Spoken, text: str, fault: Fault) -> None:
    assert render(heard, utterance(text), "eng") is fault


def test_letters_are_only_counted_where_each_is_a_sound() -> None:
    assert is_spelled_out("abcd", 9)
    assert not is_spelled_out("1999", 30)
    assert not is_spelled_out("안녕하세요", 12)


@settings(max_examples=30)
@given(st.floats(-1e6, 1e6), st.integers(1, 500))
def test_a_frame_is_never_outside_of_its_clip(sample: float, frames: int) -> None:
    assert 0 <= frame_at(sample, frames) <= frames
