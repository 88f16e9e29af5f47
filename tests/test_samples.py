import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from embedsvc import samples
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.samples import Clip, make
from embedsvc.timing import SAMPLE_RATE

FOLDER = Path(samples.__file__).parent


def _name(clip: Clip) -> str:
    return clip.path.stem


@pytest.mark.parametrize("clip", samples.clips(), ids=_name)
def test_a_clip_is_a_few_seconds_of_speech_at_16_khz_in_one_channel(clip: Clip) -> None:
    heard, rate = soundfile.read(io.BytesIO(clip.data()), dtype="float32")
    assert rate == SAMPLE_RATE
    assert heard.ndim == 1
    assert 1.5 <= len(heard) / rate <= 6
    assert len(heard) / rate == pytest.approx(clip.seconds, abs=0.001)
    assert 0.02 < np.sqrt(np.mean(np.square(heard))) < 0.5
    assert 0.3 < np.abs(heard).max() <= 1


def test_the_index_and_the_folder_agree() -> None:
    listed = [clip.path for clip in samples.clips()]
    assert sorted(listed) == sorted((FOLDER / "clips").iterdir())
    assert len(set(listed)) == len(listed)


def test_the_index_is_what_the_plan_says() -> None:
    planned = [(s.language, s.group, r, v.variant) for s, r, v in make.plan(make.sentences())]
    assert [(c.language, c.group, c.role, c.voice) for c in samples.clips()] == planned


def test_every_field_of_a_clip_is_filled() -> None:
    for clip in samples.clips():
        assert all(vars(clip).values()), clip
        assert clip.path.stem == f"{clip.language}-{clip.group}-{clip.voice}"
        assert len(clip.language) == 3


def test_there_are_many_languages_with_the_same_groups() -> None:
    archive = samples.clips("archive")
    groups = {clip.group for clip in archive}
    counts = Counter(clip.language for clip in archive)
    assert len(counts) >= 12
    assert set(counts.values()) == {len(groups)}


def test_a_query_says_what_an_archive_clip_says_in_another_voice() -> None:
    archive = {(clip.language, clip.group): clip for clip in samples.clips("archive")}
    queries = samples.clips("query")
    assert queries
    for query in queries:
        other = archive[query.language, query.group]
        assert query.text == other.text
        assert query.voice != other.voice


def test_all_clips_together_are_small() -> None:
    assert sum(len(clip.data()) for clip in samples.clips()) <= 1_200_000


def test_the_roles_divide_the_clips() -> None:
    assert samples.clips("archive") + samples.clips("query") == samples.clips()


def test_an_unknown_role_is_named() -> None:
    with pytest.raises(InvalidArgument, match="`role` must be one of archive, query, but is spare"):
        samples.clips("spare")


def test_encoding_gives_equal_bytes_for_equal_samples() -> None:
    tone = (0.5 * np.sin(np.arange(SAMPLE_RATE) / 5)).astype(np.float32)
    once = make.encode(tone)
    assert once == make.encode(tone)
    heard, rate = soundfile.read(io.BytesIO(once))
    assert (len(heard), rate) == (SAMPLE_RATE, SAMPLE_RATE)


def test_making_without_the_synthesizer_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FailedPrecondition, match="`espeak-ng` must be installed"):
        make.make(tmp_path)
    assert not list(tmp_path.iterdir())
