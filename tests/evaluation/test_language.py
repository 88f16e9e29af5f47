from pathlib import Path

import numpy as np
import pytest

from embedsvc.evaluation import language
from embedsvc.evaluation.clips import Clips
from embedsvc.evaluation.probes import Bench
from embedsvc.evaluation.speech import SYNTHETIC, Row
from tests.evaluation.made import clips_of

LANGUAGES = ("deu", "eng", "por")


def row(corpus: str, split: str, locale: str, at: int) -> Row:
    label = "chunk" if corpus == SYNTHETIC else ""
    path = Path(f"{corpus}/{split}{locale}{at}")
    return Row(corpus, path, split, locale, "", label, "", at % 8, "", "permissive")


@pytest.fixture
def clips() -> Clips:
    """Languages are plain to hear in the synthesizer, and shifted in people."""
    rows = [
        row(SYNTHETIC, split, code, at)
        for split in ("train", "dev")
        for code in LANGUAGES
        for at in range(10)
    ]
    rows += [
        row("gcompris_voices", "dev", code, at)
        for code in ("deu", "por-BR", "xho")
        for at in range(12)
    ]
    rows += [row("gcompris_voices", "train", "eng", at) for at in range(4)]
    rows += [row("fsdd", "train", "eng", at) for at in range(4)]
    rows += [row("emo_nemo", "dev", "eng", at) for at in range(4)]
    codes = [*LANGUAGES, "xho"]
    vectors = 8 * np.eye(4, 6)[[codes.index(each.language) for each in rows]]
    vectors += np.random.default_rng(0).standard_normal(vectors.shape)
    shift = np.array([[0.0 if each.corpus == SYNTHETIC else 3.0] for each in rows])
    return clips_of(rows, (vectors + shift).astype(np.float32))


def learned(clips: Clips) -> language.Synthetic:
    found = language.learn_synthetic(clips, Bench())
    assert found is not None
    return found


def test_probes_learn_on_synthetic_speech_and_choose_a_layer_there(clips: Clips) -> None:
    synthetic = learned(clips)
    assert synthetic.languages == set(LANGUAGES)
    assert synthetic.chosen == "layer 0"
    scored, unweighted = synthetic.measures()
    assert (scored.figure, unweighted.figure) == ("accuracy", "UA")
    assert scored.headline == ("layer 0", scored.values["layer 0"])
    assert scored.values["layer 0"] > 0.9
    assert scored.chance == pytest.approx(1 / 3)


def test_people_are_asked_about_by_corpus_training_and_length(clips: Clips) -> None:
    measures = list(language.measure_real(clips, learned(clips), Bench()))
    found = {each.name: each for each in measures if each.figure == "accuracy"}
    plain = found["gcompris_voices, learned on synthetic"]
    assert plain.counts == {"clips": 24, "languages": 2}
    assert plain.chance == 0.5
    assert plain.chosen == "layer 0"
    assert set(plain.values) == {"layer 0", "default", "mfcc", "mfcc_delta"}
    parts = [
        found[f"{plain.name}, {name} s"]
        for name in ("0-1.5", "1.5-3", "3-6", "over 6")
        if f"{plain.name}, {name} s" in found
    ]
    assert sum(part.counts["clips"] for part in parts) <= 24
    anyone = found[f"{plain.name}, any language"]
    assert anyone.chance == pytest.approx(1 / 3)
    assert "transductive" in found[f"{plain.name}, transductive"].note
    assert "emo_nemo, learned on synthetic, any language" in found
    assert "emo_nemo, learned on synthetic" not in found
    own = [name for name in found if "its own corpus" in name]
    assert own
    assert all(name.startswith("gcompris_voices") for name in own)


def test_what_is_learned_of_people_may_be_and_is_not_tested(clips: Clips) -> None:
    rows = language.learned(clips.rows, frozenset(LANGUAGES))
    assert {(each.corpus, each.split) for each in rows} == {
        ("gcompris_voices", "train"),
        ("fsdd", "train"),
    }


def test_one_language_is_no_question(clips: Clips) -> None:
    few = clips.where(lambda each: each.language == "deu")
    assert language.learn_synthetic(few, Bench()) is None
