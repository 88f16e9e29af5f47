from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from embedsvc.ctc import Calibration, ConfidenceMeasure
from embedsvc.ctc.fitting import Example
from embedsvc.encoder import resolve
from embedsvc.encoder.ctc import CtcHead, load_heads
from embedsvc.errors import InvalidArgument
from embedsvc.evaluation.embedding import Subject
from embedsvc.evaluation.speech import Row
from embedsvc.evaluation.transcription import RAW, Spoken, halves, hear, measure, said_in
from embedsvc.timing import FRAME, SAMPLE_RATE, frame_count
from embedsvc.types import HeadKind
from tests.ctc.made import PHONES, TEXT, said


@pytest.fixture(scope="session")
def head(checkpoint: Path) -> CtcHead:
    (found,) = load_heads(resolve(str(checkpoint)))
    return found


def test_errors_and_confidence_are_counted_by_hand() -> None:
    spoken = [
        Spoken(Example(said("ab.|.b.a", TEXT, 9), (1, 2, 4, 2, 2)), "ab bb"),
        Spoken(Example(said("n..|.aa.", TEXT, 9), (3, 4, 1)), "n a"),
    ]
    found = measure(spoken, TEXT, RAW)
    assert (found.clips, found.labels.edits, found.labels.said) == (2, 1, 8)
    assert found.characters is not None
    assert found.words is not None
    assert found.characters.rate == 1 / 8
    assert found.words.rate == 1 / 4
    for each in found.confidence:
        assert (each.tokens.count, each.tokens.wrong) == (8, 1)
        assert each.words is not None
        assert (each.words.count, each.words.wrong) == (4, 1)


def test_what_is_kept_is_above_its_threshold() -> None:
    sure = Spoken(Example(said("a.", PHONES_LIKE, 60), (1,)), "a")
    unsure = Spoken(Example(said("b.", PHONES_LIKE, 1), (1,)), "a")
    kinds = {"curve": Calibration(ConfidenceMeasure.ENTROPY, raw=(0.0, 1.0), told=(0.1, 0.96))}
    (found,) = measure([sure, unsure], PHONES_LIKE, kinds).confidence
    assert found.words is None
    assert found.method == "entropy+isotonic/v1"
    assert found.tokens.auc == 1
    assert [(each.share, each.right) for each in found.kept] == [(0.5, 1.0)] * 5


PHONES_LIKE = replace(PHONES, labels=("", "a", "b", "ʃ"))


def test_nothing_heard_is_refused() -> None:
    silence = Spoken(Example(said("...", TEXT, 9), (1,)), "a")
    with pytest.raises(InvalidArgument, match="`DIR`"):
        measure([silence], TEXT, RAW)


def test_the_reference_is_phones_or_the_transcript(rows: tuple[Row, ...], head: CtcHead) -> None:
    row = replace(rows[0], transcript="Ban, ab", phones=("aʰ", "n", "?"))
    labels = head.vocabulary.labels
    spelled = (labels.index("a"), labels.index("n"))
    assert said_in(row, head, {}) == (spelled, "a n")
    bare = replace(row, phones=())
    assert said_in(bare, head, {}) == ((), "")
    assert said_in(bare, head, {bare: ("n",)}) == ((labels.index("n"),), "n")
    writes = replace(head, info=replace(head.info, kind=HeadKind.TEXT), vocabulary=TEXT)
    assert said_in(row, writes, {}) == ((2, 1, 3, 4, 1, 2), "ban ab")
    assert said_in(replace(row, transcript="7"), writes, {})[0] == ()
    others = replace(writes, info=replace(writes.info, languages=("xyz",)))
    assert said_in(row, others, {}) == ((), "")


def test_clips_are_heard_as_the_head_hears_each(
    subject: Subject, rows: tuple[Row, ...], head: CtcHead, tmp_path: Path
) -> None:
    known = [row for row in rows if row.phones][:5]
    broken = replace(known[0], path=tmp_path / "absent.wav")
    told: list[tuple[int, int]] = []
    found = list(
        hear(subject.encoder, head, [*known, broken], {}, lambda *counts: told.append(counts))
    )
    assert len(found) == 5
    assert told[-1] == (6, 6)
    one = [next(hear(subject.encoder, head, [row], {}, lambda *_: None)) for row in known]
    together = {each.said: each.example.log_probs for each in found}
    for each in one:
        np.testing.assert_allclose(together[each.said], each.example.log_probs, atol=1e-3)


def test_a_long_clip_is_heard_to_its_end(
    subject: Subject, rows: tuple[Row, ...], head: CtcHead, tmp_path: Path
) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 43 * SAMPLE_RATE)
    soundfile.write(tmp_path / "long.wav", sound, SAMPLE_RATE)
    long = replace(next(row for row in rows if row.phones), path=tmp_path / "long.wav", seconds=43)
    (found,) = hear(subject.encoder, head, [long], {}, lambda *_: None)
    assert len(found.example.log_probs) == frame_count(len(sound))
    strided = replace(head, grid=replace(head.grid, hop=2 * FRAME))
    assert not list(hear(subject.encoder, strided, [long], {}, lambda *_: None))


@pytest.mark.parametrize("by", ["speaker", "group"])
def test_nobody_is_on_both_sides(rows: tuple[Row, ...], by: str) -> None:
    fit, asked = halves(rows, by)
    assert fit
    assert asked
    assert not {getattr(row, by) for row in fit} & {getattr(row, by) for row in asked}
    assert halves(rows, by) == (fit, asked)


def test_a_given_split_is_kept(rows: tuple[Row, ...]) -> None:
    fit, asked = halves(rows, "split")
    assert {row.split for row in fit} == {"train"}
    assert {row.split for row in asked} == {"dev"}
