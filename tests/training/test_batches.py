"""What a batch holds: clips that fill it, warped with their labels, the same for the same seed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.training.batches import (
    FASTEST,
    SLOWEST,
    UNKNOWN,
    WIDTHS,
    Material,
    Mix,
    Sampler,
    frame_labels,
    speaker_of,
)
from embedsvc.training.corpus import Clip, Corpus
from embedsvc.training.phones import Inventory

PHONES = ("a", "s", "m")
INVENTORY = Inventory(("", *PHONES))


def clips(lengths: Sequence[int]) -> list[Clip]:
    """Clips of three phones each, every fifth of a person; four say the same."""
    made, begin = [], 0
    for number, frames in enumerate(lengths):
        person = number % 5 == 0
        times = () if person else (0, frames // 3, 2 * frames // 3, frames)
        made.append(
            Clip("synthetic", "" if person else "test", ("deu", "fra", "ita")[number % 3], "voice",
                 f"line:{number // 4}", "", begin, frames, PHONES, times)
        )  # fmt: skip
        begin += frames
    return made


def material(made: Sequence[Clip]) -> Material:
    """Features whose value is the label of their frame."""
    total = sum(clip.frames for clip in made)
    labels = frame_labels(made, INVENTORY, total)
    features = np.repeat(labels[:, None], 80, axis=1).astype(np.float16)
    corpus = Corpus(tuple(made), "", {}, features)
    return Material.of(corpus, INVENTORY, ["deu", "fra", "ita"], torch.device("cpu"))


def sampler(made: Sequence[Clip], seed: int = 1) -> Sampler:
    return Sampler(made, Mix(frames=512, real=0.3, pairs=0.5), seed)


@given(st.lists(st.integers(30, 900), min_size=4, max_size=40), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_clips_fill_the_batch_without_too_much_haste(lengths: list[int], step: int) -> None:
    made = clips([80, 81, *lengths])
    width, chosen = sampler(made).choose(step, 0)
    assert width in WIDTHS
    assert len(chosen) == max(2, 512 // width)
    for clip in chosen:
        assert made[clip].frames >= 2 * width * SLOWEST
        assert made[clip].frames <= 2 * width * FASTEST or width == max(WIDTHS)


def test_a_batch_follows_from_seed_step_and_rank_alone() -> None:
    made = clips([90 + number % 200 for number in range(200)])
    first, again = sampler(made), sampler(made)
    again.choose(3, 0)
    for place in [(7, 0), (7, 1), (8, 0)]:
        width, chosen = first.choose(*place)
        other, same = again.choose(*place)
        assert width == other
        assert chosen.tolist() == same.tolist()
    assert first.choose(7, 0)[1].tolist() != first.choose(7, 1)[1].tolist()


def test_some_clips_say_the_same_and_some_are_of_people() -> None:
    made = clips([130] * 200)
    chosen = [clip for step in range(20) for clip in sampler(made).choose(step, 0)[1]]
    people = np.mean([not made[clip].synthesizer for clip in chosen])
    assert 0.2 < people < 0.5
    _, batch = sampler(made).choose(1, 0)
    groups = [made[clip].group for clip in batch]
    assert len(set(groups)) < len(groups)


@given(st.integers(0, 1_000))
@settings(max_examples=15, deadline=None)
def test_labels_stay_with_their_sounds(seed: int) -> None:
    made = clips([120, 140, 160, 150, 130, 125])
    random = torch.Generator().manual_seed(seed)
    batch = material(made).batch(64, np.array([1, 2, 3, 4]), random)
    heard = batch.mel[:, 1::2, 0]
    assert batch.mel.shape == (4, 128, 80)
    # Between two phones the features are mixed; a label is never further than that.
    assert float((heard - batch.labels).abs().max()) <= 1.01
    assert float(((heard - batch.labels).abs() < 0.5).float().mean()) == 1.0
    for row in batch.labels.tolist():
        changes = zip(row, [0, *row], strict=False)
        assert [label for label, before in changes if label != before] == [1, 2, 3]


def test_phones_of_a_clip_without_times_are_those_of_the_whole_clip() -> None:
    made = [replace(clip, frames=clip.frames) for clip in clips([900, 128, 140])]
    made[1] = replace(made[1], synthesizer="", times=())
    batch = material(made).batch(64, np.array([0, 1, 2]), torch.Generator().manual_seed(1))
    assert batch.phones == ((), (1, 2, 3), ())  # too long, as it is, and with its times
    assert batch.labels[1].tolist() == [UNKNOWN] * 64


@pytest.mark.parametrize(
    ("synthesizer", "corpus", "voice", "speaker"),
    [
        ("espeak-ng", "synthetic", "gmw/de+m3", "espeak-ng/m3"),
        ("espeak-ng", "synthetic", "roa/fr+m3", "espeak-ng/m3"),
        ("espeak-ng", "synthetic", "gmw/de", "espeak-ng/plain"),
        ("festival", "synthetic", "czech_dita", "festival/czech_dita"),
        ("", "yesno_hebrew", "1", "yesno_hebrew/1"),
    ],
)
def test_a_variant_is_one_speaker_in_all_languages(
    synthesizer: str, corpus: str, voice: str, speaker: str
) -> None:
    assert speaker_of(Clip(corpus, synthesizer, "deu", voice, "", "", 0, 9)) == speaker


def test_a_batch_tells_who_speaks_and_how() -> None:
    made = clips([120, 140, 160])
    made[1] = replace(made[1], voice="gmw/de+m3", manner=(0.5, 0.25, 0.75))
    made[2] = replace(made[2], voice="roa/fr+m3")
    batch = material(made).batch(64, np.array([0, 1, 2]), torch.Generator().manual_seed(1))
    assert batch.voices[1] == batch.voices[2] != batch.voices[0]
    assert batch.manners[1].tolist() == [0.5, 0.25, 0.75]
    assert batch.manners[[0, 2]].isnan().all()


@pytest.mark.parametrize("frames", [1, 50])
def test_frames_are_labeled_from_their_times(frames: int) -> None:
    clip = Clip("synthetic", "test", "deu", "", "", "", 2, frames + 10, ("a", "", "m"),
                (0, frames, frames + 4, frames + 8))  # fmt: skip
    labels = frame_labels([clip], INVENTORY, frames + 15).tolist()
    assert labels == [-1] * 2 + [1] * frames + [0] * 4 + [3] * 4 + [0] * 2 + [-1] * 3
