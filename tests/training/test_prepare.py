import json
from pathlib import Path

import pytest

from embedsvc.errors import FailedPrecondition
from embedsvc.training import espeak, prepare, recordings, speakers
from embedsvc.training.corpus import MANIFEST, Corpus
from embedsvc.training.prepare import Plan, main


def quiet(name: str, done: int, total: int) -> None:
    assert done <= total


@pytest.fixture
def plan(text_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Some seconds of three languages; no recordings, and no other synthesizer."""
    monkeypatch.setattr(recordings, "sets", lambda folder: [])
    monkeypatch.setattr(speakers, "version", lambda speaker: "")
    return Plan(text_folder, text_folder, hours=0.01, workers=1)


@pytest.mark.usefixtures("needs_espeak")
def test_the_same_seed_gives_the_same_bytes_with_any_workers(plan: Plan, tmp_path: Path) -> None:
    one = prepare.prepare(plan, tmp_path / "one", quiet)
    two = prepare.prepare(
        Plan(plan.texts, plan.speech, plan.hours, workers=3), tmp_path / "two", quiet
    )
    assert one == two
    assert one["sha256"] == json.loads((tmp_path / "two" / MANIFEST).read_text())["sha256"]
    check_corpus(Corpus.open(tmp_path / "one"))


def check_corpus(corpus: Corpus) -> None:
    """Every clip has features, and phones that lie within them."""
    assert {clip.language for clip in corpus.clips} == {"deu", "eng", "swa"}
    for clip in corpus.clips:
        assert corpus.log_mel(clip).shape == (clip.frames, 80)
        assert list(clip.times) == sorted(clip.times)
        assert len(clip.times) == len(clip.phones) + 1
        assert clip.times[-1] <= clip.frames
    groups = {clip.group for clip in corpus.clips if clip.group}
    assert groups
    seconds = corpus.manifest["totals"]["seconds"]
    assert seconds == pytest.approx(0.01 * 3600 * (1 - prepare.OTHER_SHARE), rel=0.5)


def test_texts_that_are_missing_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(espeak, "version", lambda: "1.51")
    with pytest.raises(SystemExit):
        main(["--texts", str(tmp_path), "--speech", str(tmp_path), "--out", str(tmp_path / "out")])
    assert "`TEXT_DIR` must hold" in capsys.readouterr().err


def test_nothing_is_made_without_espeak(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(espeak, "LIBRARY", "libnosuch.so.1")
    espeak._library.cache_clear()
    with pytest.raises(FailedPrecondition, match="espeak-ng"):
        prepare.prepare(plan, tmp_path / "out", quiet)
    espeak._library.cache_clear()
    assert not (tmp_path / "out").exists()


def test_voices_that_are_not_installed_are_left_to_the_others(plan: Plan) -> None:
    assert not prepare.other_tasks(plan, prepare.find_pools(plan))
