"""Heads that write letters are trained on speech whose text is known, and go on where they were."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.ctc.letter_files import load_letters, write_letters
from embedsvc.encoder.ctc.letters import Shape
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.training import letter_speech
from embedsvc.training.corpus import CLIPS, read_clips
from embedsvc.training.letter_speech import Speech, spelled, vocabulary
from embedsvc.training.letter_states import States, name_of, open_states
from embedsvc.training.letter_training import Material, Recipe, Told, batches, handicap
from embedsvc.training.letters import Wanted, learn, prepare
from embedsvc.training.texts import normal, read
from tests.training.conftest import LANGUAGES

SMALL = Recipe(layer=2, hidden=16, blocks=1, kernel=5, epochs=3, batch_frames=1000, rate=0.01)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder.load(resolve("mini"), 1)


@pytest.fixture
def made(
    text_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encoder: Encoder,
    needs_espeak: None,
) -> Path:
    """Half a minute of German, and its states."""
    monkeypatch.setattr(letter_speech, "language_of", lambda _: LANGUAGES[0])
    out = tmp_path / "out"
    prepare(encoder, Speech(text_folder, ("deu",), 0.01), SMALL.layer, out, lambda *_: None)
    return out


def test_a_head_learns_and_goes_on_where_it_was_stopped(
    made: Path, encoder: Encoder, tmp_path: Path
) -> None:
    records: list[Mapping[str, Any]] = []
    whole = learn(encoder, Wanted(("deu",)), SMALL, made, 1, records.append)
    *epochs, blank = records
    assert epochs[-1]["loss"] < 0.9 * epochs[0]["loss"]
    assert blank["kind"] == "blank"
    assert whole.figures == {
        "character_error_rate_validation": round(records[-1]["character_errors"], 4)
    }

    (made / "heads").rename(tmp_path / "before")

    def stop(record: Mapping[str, Any]) -> None:
        if record.get("step") == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(encoder, Wanted(("deu",)), SMALL, made, 1, stop)
    rest: list[Mapping[str, Any]] = []
    again = learn(encoder, Wanted(("deu",)), SMALL, made, 1, rest.append)
    assert [each["step"] for each in (*epochs, *rest[:-1])] == [1, 2, 3, 3]
    for name, each in whole.tensors.items():
        np.testing.assert_array_equal(again.tensors[name], each)
    with pytest.raises(FailedPrecondition, match="a run of the same recipe"):
        learn(encoder, Wanted(("deu",)), replace(SMALL, epochs=9), made, 1, records.append)

    model = tmp_path / "model"
    model.mkdir()
    for path in resolve("mini").directory.glob("*.*"):
        (model / path.name).write_bytes(path.read_bytes())
    write_letters([whole], model)
    heads = {head.info.name: head for head in load_letters(resolve(str(model)))}
    assert heads["letters-deu"].info.languages == ("deu",)


def test_clips_to_validate_say_other_lines_than_those_to_learn_from(made: Path) -> None:
    said = {
        part: {normal(clip.text) for clip in read_clips(made / "speech" / f"deu-{part}" / CLIPS)}
        for part in ("train", "validation")
    }
    assert said["train"]
    assert said["validation"]
    whole = {part: {text for text in texts if text.count(" ") > 3} for part, texts in said.items()}
    assert not whole["train"] & whole["validation"]
    kept = {normal(line.text) for line in read(made.parent / "texts", LANGUAGES[0]).evaluation}
    assert not kept & (said["train"] | said["validation"])


def test_states_are_those_of_the_encoder_and_are_made_once(
    made: Path, encoder: Encoder, text_folder: Path
) -> None:
    shard = letter_speech.read_shard(made / "speech" / "deu-train")
    path = made / "states" / name_of(encoder, shard, SMALL.layer)
    states = open_states(path, shard, encoder.dim)
    before = path.stat().st_mtime_ns
    prepare(encoder, Speech(text_folder, ("deu",), 0.01), 2, made, lambda *_: None)
    assert path.stat().st_mtime_ns == before
    for clip, known in enumerate(shard.clips):
        assert states.length(clip) == len(states.of(clip)) == known.frames // 2
        assert np.isfinite(states.of(clip).astype(np.float32)).all()
        assert np.abs(states.of(clip)).max() > 0.5


def test_text_that_is_not_said_as_it_is_written_is_left_out() -> None:
    labels = vocabulary(("deu", "fra"))
    assert labels.labels[:3] == ("", "|", "'")
    assert spelled("Straße", labels)
    assert len(spelled("L\u2019été - déjà!", labels)) == len("l'été déjà")
    for text in ("20 Vögel", "ein Ñandú", "alle % davon", "A&O", "…"):
        assert spelled(text, labels) == ()


def test_every_clip_that_fits_is_in_one_batch() -> None:
    starts = (0, 3, 53, 153, 163)
    values = np.arange(163 * 2, dtype=np.float16).reshape(163, 2)
    told = Told(States(values, starts), ((2,) * 9, (2, 3), (3, 4, 5), ()))
    assert told.usable() == [1, 2]
    recipe = Recipe(batch_frames=60)
    for epoch in range(3):
        found = list(batches([told], recipe, epoch))
        assert sorted(batch.labels[0] for batch in found) == [(2, 3), (3, 4, 5)]
        assert sum(int(batch.inside.sum()) for batch in found) == 150
    (both,) = batches([told], Recipe(batch_frames=999), 0)
    assert both.states.shape == (2, 100, 2)
    assert both.inside.sum(dim=1).flatten().tolist() == both.lengths.tolist()


@pytest.mark.parametrize(
    ("languages", "hours", "message"), [(("xyz",), 1.0, "'xyz'"), (("deu",), 0.0, "positive")]
)
def test_what_cannot_be_spoken_is_refused(
    tmp_path: Path, languages: tuple[str, ...], hours: float, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Speech(tmp_path, languages, hours)


def test_the_blank_gives_up_what_costs_no_errors() -> None:
    labels = vocabulary(("spa",))
    shape = Shape(
        inputs=len(labels.labels), hidden=4, blocks=0, kernel=1, labels=len(labels.labels)
    )
    tensors = {name: torch.zeros(size) for name, size in shape.tensors().items()}
    # Whatever is heard, "a" is 1.2 nats behind the blank.
    tensors["output.bias"][0], tensors["output.bias"][2] = 1.2, 0.0
    tensors["output.bias"][3:] = tensors["output.bias"][1] = -9.0
    states = States(np.zeros((40, len(labels.labels)), np.float16), (0, 20, 40))
    for said, given in (((2,), 3.0), ((3, 4, 3, 4), 3.0)):
        told = Told(states, (said, said))
        less, counts = handicap(tensors, Material((told,), (told,), labels, "", ("spa",)))
        assert less == given
        assert counts.rate <= 1
    assert labels.labels[2] == "a"


def test_a_run_keeps_its_log(made: Path, encoder: Encoder) -> None:
    learn(encoder, Wanted(("deu",)), SMALL, made, 1, lambda _: None)
    lines = (made / "heads" / "letters-deu" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
