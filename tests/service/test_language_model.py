"""A head with a list of words and a language model, over gRPC."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from embedsvc.errors import FailedPrecondition, HeadNotFound
from embedsvc.samples import clips
from embedsvc.testing import serving
from embedsvc.types import Floats
from embedsvc.v1 import transcription_pb2
from tests.ctc import spoken
from tests.service.calls import RATE, Stubs, floats, refused

Options = transcription_pb2.DecodeOptions
ENGLISH = [clip for clip in clips("archive") if clip.language == "eng"][:2]


@pytest.fixture(scope="module")
def talk() -> Floats:
    pause = np.zeros(RATE, np.float32)
    heard = [soundfile.read(clip.path, dtype="float32")[0] for clip in ENGLISH]
    return np.concatenate([part for each in heard for part in (each, pause)])


@pytest.fixture(scope="module")
def phones(stubs: Stubs, talk: Floats) -> list[str]:
    """What is heard without words, in the usual server."""
    request = transcription_pb2.TranscribeRequest(audio=floats(talk))
    return [segment.text for segment in stubs.transcription.Transcribe(request).segments]


@pytest.fixture(scope="module")
def words(phones: list[str]) -> dict[str, str]:
    """Words of four phones each by the phones that were heard, and one that was not."""
    found: dict[str, str] = {}
    for segment in phones:
        labels = segment.split()
        for start in range(0, len(labels), 4):
            found.setdefault(" ".join(labels[start : start + 4]), f"word{len(found)}")
    return {**found, "ʕ ʕ ʕ": "never"}


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory, words: dict[str, str]) -> Iterator[Stubs]:
    """A server whose head has those words, and a model of them."""
    folder = tmp_path_factory.mktemp("words")
    lines = [f"{word}\t{labels}\n" for labels, word in words.items()]
    (folder / "lexicon.txt").write_text("".join(lines))
    unigrams: spoken.Grams = {(word,): (-1.0, 0.0) for word in words.values()}
    ends: spoken.Grams = {("<unk>",): (-4.0, 0.0), ("<s>",): (0.0, 0.0), ("</s>",): (-1.0, 0.0)}
    spoken.write(folder, {**ends, **unigrams, ("word0", "word1"): (-0.1, 0.0)})
    with (
        serving({"model": {"language_models": {"phones": str(folder)}}}) as target,
        Stubs(target) as stubs,
    ):
        yield stubs


def test_a_head_tells_what_it_knows_of_words(listed: Stubs, words: dict[str, str]) -> None:
    heads = listed.transcription.ListHeads(transcription_pb2.ListHeadsRequest()).heads
    (head,) = (each for each in heads if each.name == "phones")
    assert head.kind == transcription_pb2.HEAD_KIND_PHONES
    assert head.language_model.words == len(words)
    assert head.language_model.closed
    assert head.language_model.weight == 0.5
    assert not head.language_model.missing


def test_a_beam_writes_words_of_the_list(
    listed: Stubs, talk: Floats, phones: list[str], words: dict[str, str]
) -> None:
    request = transcription_pb2.TranscribeRequest(audio=floats(talk))
    plain = listed.transcription.Transcribe(request)
    assert [segment.text for segment in plain.segments] == phones, "greedily, phones"
    request.options.CopyFrom(Options(beam=16, texts=2))
    reply = listed.transcription.Transcribe(request)
    assert len(reply.segments) == len(phones)
    found = [word.text for segment in reply.segments for word in segment.words]
    assert set(found) <= {*words.values()} - {"never"}
    assert found[:2] == ["word0", "word1"]
    for segment in reply.segments:
        assert segment.text == " ".join(word.text for word in segment.words)
        assert segment.alternatives[0].text != segment.text
        for word in segment.words:
            labels = " ".join(token.text for token in word.tokens)
            assert words[labels] == word.text
            assert word.span.start == word.tokens[0].span.start
    request.options.CopyFrom(Options(beam=16, without_language_model=True))
    without = listed.transcription.Transcribe(request)
    assert not {word.text for each in without.segments for word in each.words} & set(found)


def test_weights_change_what_is_found(listed: Stubs, talk: Floats) -> None:
    request = transcription_pb2.TranscribeRequest(audio=floats(talk))
    counts = []
    for bonus in (-20, 0):
        request.options.CopyFrom(Options(beam=16, lm_weight=1, word_bonus=bonus))
        reply = listed.transcription.Transcribe(request)
        counts.append(sum(len(segment.words) for segment in reply.segments))
    assert counts[0] < counts[1]


@pytest.mark.parametrize("name", ["lm_weight", "word_bonus"])
def test_weights_of_a_model_that_is_not_there_are_refused(
    stubs: Stubs, listed: Stubs, talk: Floats, name: str
) -> None:
    def asking(**fields: float | bool) -> transcription_pb2.TranscribeRequest:
        options = Options(**{name: 1.0}, **fields)  # type: ignore[arg-type]  # by name
        return transcription_pb2.TranscribeRequest(audio=floats(talk), options=options)

    field = f"options.{name}"
    told = refused(stubs.transcription.Transcribe, asking(beam=4))
    assert (told.code, told.reason) == ("FAILED_PRECONDITION", "FEATURE_DISABLED")
    for request in (asking(), asking(beam=4, without_language_model=True)):
        told = refused(listed.transcription.Transcribe, request)
        assert (told.code, told.reason, told.path) == ("INVALID_ARGUMENT", "FIELD_INVALID", field)


def test_a_server_does_not_start_with_a_list_that_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("not\tn o such label\n")
    with (
        pytest.raises(FailedPrecondition, match="line 1"),
        serving({"model": {"language_models": {"phones": str(path)}}}),
    ):
        pass
    with (
        pytest.raises(HeadNotFound, match="`head`"),
        serving({"model": {"language_models": {"other": str(path)}}}),
    ):
        pass
