from pathlib import Path

import pytest

from embedsvc.training.corpus import CLIPS, read_clips
from embedsvc.training.languages import Language
from embedsvc.training.shards import Task, make_all
from embedsvc.training.speakers import RHVOICE, Speaker, version
from embedsvc.training.synthetic import OtherOrder, make_other
from embedsvc.training.utterances import Pool

ELENA = Speaker(RHVOICE, "Elena", "rus", "utf-8", "")
LINES = ("добрый день, как ваши дела сегодня", "мы идём домой по длинной улице")


@pytest.mark.skipif(not version(ELENA), reason="RHVoice is not installed")
@pytest.mark.usefixtures("needs_espeak")
def test_a_voice_that_does_not_tell_times_makes_clips_with_phones_alone(tmp_path: Path) -> None:
    pool = Pool(Language("rus", ("Elena",)), LINES, ())
    task = Task("rhvoice-Elena", make_other, OtherOrder(pool, ELENA, 20.0, 1, version(ELENA)))
    (made,) = make_all([task], tmp_path, 1, lambda name, done, total: None)
    assert made.path is not None
    clips = list(read_clips(made.path / CLIPS))
    assert {(clip.synthesizer, clip.language, clip.voice) for clip in clips} == {
        ("rhvoice", "rus", "Elena")
    }
    for clip in clips:
        assert clip.times == ()
        assert len(clip.phones) > len(clip.text.replace(" ", "")) / 2
        assert "" not in clip.phones
