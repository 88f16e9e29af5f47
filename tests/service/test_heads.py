"""Heads of other models beside that of mini: each writes what its own model writes, at once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf.duration_pb2 import Duration
from safetensors.torch import load_file, save_file
from transformers import Wav2Vec2ForCTC, pipeline

from embedsvc.testing import serving
from embedsvc.types import Floats
from embedsvc.v1 import collection_pb2, probe_pb2, transcription_pb2, types_pb2
from tests.encoder.ctc.published import (
    LANGUAGE_TOKENIZER,
    LANGUAGES,
    READS_FEATURES,
    READS_SAMPLES,
    SPELLS,
    STABLE,
    balance,
    bert,
    of_languages,
    published,
    speech,
    wave,
    write,
)
from tests.service.calls import (
    BOUND,
    RATE,
    Stubs,
    floats,
    pcm_format,
    refused,
    request,
    upload,
    vector,
)
from tests.service.processes import Server
from tests.service.test_memory import MEBIBYTE

Request = transcription_pb2.TranscribeRequest

SOUND = speech(32_000)
TEXTS = ("base", "large", "bert", "mms-eng", "mms-spa")


def many_languages(path: Path) -> Path:
    """Adapters and heads of three languages on one body, each of which writes letters."""
    of_languages(path)
    extractor = READS_SAMPLES(return_attention_mask=True)
    extractor.save_pretrained(path)
    inputs = extractor(SOUND, sampling_rate=16_000, return_tensors="pt")
    kind: Any = Wav2Vec2ForCTC
    model = kind.from_pretrained(path)
    balance(model, inputs, [1, 2, 3])
    model.save_pretrained(path)
    for language in LANGUAGES:
        file = path / f"adapter.{language}.safetensors"
        if file.exists():
            model.load_adapter(language)
            balance(model, inputs, [1, 2, 3])
            own = load_file(file) | {"lm_head.bias": model.lm_head.bias.detach()}
            save_file(own, file)
    tokenizer = SPELLS(str(path / "vocab.json"), target_lang="eng")
    tokenizer.save_pretrained(path)
    (path / "vocab.json").write_text(json.dumps(LANGUAGES))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint of each family."""
    folder = tmp_path_factory.mktemp("models")
    masked = READS_SAMPLES(return_attention_mask=True)
    features = READS_FEATURES(padding_value=1)
    return {
        "base": published(wave(), READS_SAMPLES(), folder / "base", SOUND),
        "large": published(wave(**STABLE), masked, folder / "large", SOUND),
        "bert": published(bert(add_adapter=True), features, folder / "bert", SOUND),
        "mms": many_languages(folder / "mms"),
    }


@pytest.fixture(scope="module")
def texts(models: dict[str, Path]) -> dict[str, str]:
    """What the reference library's own pipeline writes, by head."""
    kind: Any = pipeline
    found = {}
    for name in TEXTS:
        family, _, language = name.partition("-")
        own = models[family] / f"adapter.{language}.safetensors"
        options = {"target_lang": language, "ignore_mismatched_sizes": True} if own.exists() else {}
        asr = kind("automatic-speech-recognition", model=str(models[family]), model_kwargs=options)
        if language:
            asr.tokenizer.set_target_lang(language)
        found[name] = " ".join(asr(SOUND)["text"].split())
    assert all(len(text) > 20 for text in found.values())
    assert len(set(found.values())) == len(TEXTS)
    return found


@pytest.fixture(scope="module")
def stubs(models: dict[str, Path]) -> Iterator[Stubs]:
    """A server with the heads of all of them."""
    heads = {
        "base": f"{models['base']}:eng",
        "large": str(models["large"]),
        "bert": f"{models['bert']}:mn",
        "mms": f"{models['mms']}:eng,spa",
    }
    with serving({"model": {"heads": heads}}) as target, Stubs(target) as stubs:
        yield stubs


def float_format() -> types_pb2.PcmFormat:
    form: types_pb2.PcmFormat = pcm_format(layout=types_pb2.SAMPLE_FORMAT_F32LE)
    return form


def written(stubs: Stubs, sound: Floats, **fields: Any) -> str:
    reply = stubs.transcription.Transcribe(Request(audio=floats(sound), **fields), timeout=60)
    return " ".join(segment.text for segment in reply.segments)


@pytest.mark.parametrize("name", TEXTS)
def test_a_head_writes_what_its_own_model_writes(
    stubs: Stubs, texts: dict[str, str], name: str
) -> None:
    assert written(stubs, SOUND, head=name) == texts[name]


def test_heads_are_listed_with_their_models_and_licenses(stubs: Stubs) -> None:
    heads = stubs.transcription.ListHeads(transcription_pb2.ListHeadsRequest()).heads
    listed = [(head.name, head.model, list(head.languages)) for head in heads]
    assert [each for each in listed if not each[0].startswith("letters-")] == [
        ("base", "base", ["eng"]),
        ("bert", "bert", ["mon"]),
        ("large", "large", []),
        ("mms-eng", "mms", ["eng"]),
        ("mms-spa", "mms", ["spa"]),
        ("phones", "mini", []),
    ]
    assert {head.license for head in heads if head.model == "mms"} == {"cc-by-nc-4.0"}
    frames = {head.name: head.frame.ToMilliseconds() for head in heads}
    assert (frames["base"], frames["bert"]) == (20, 40)


def test_the_language_of_a_request_chooses_its_adapters(
    stubs: Stubs, texts: dict[str, str]
) -> None:
    ask = Request(audio=floats(SOUND), language_code="es-MX")
    reply = stubs.transcription.Transcribe(ask, timeout=60)
    assert (reply.head, reply.language_code) == ("mms-spa", "spa")
    assert " ".join(each.text for each in reply.segments) == texts["mms-spa"]
    alone = stubs.transcription.Transcribe(Request(audio=floats(SOUND), head="bert"))
    assert alone.language_code == "mon", "the only one of its head"
    for code in ("", "fr"):
        any_ = Request(audio=floats(SOUND), head="large", language_code=code)
        reply = stubs.transcription.Transcribe(any_)
        assert reply.language_code == {"": "", "fr": "fra"}[code]
    wrong = Request(audio=floats(SOUND), head="mms-spa", language_code="en")
    assert refused(stubs.transcription.Transcribe, wrong).path == "language_code"


def test_requests_of_all_heads_at_once_do_not_mix(stubs: Stubs, texts: dict[str, str]) -> None:
    other = stubs.embedding.Embed(request(floats(SOUND)), timeout=60)
    phones = written(stubs, SOUND, head="phones")

    def one(number: int) -> bool:
        name = (*TEXTS, "phones", "")[number % 7]
        if name:
            return written(stubs, SOUND, head=name) == (texts | {"phones": phones})[name]
        found = stubs.embedding.Embed(request(floats(SOUND)), timeout=60)
        return np.allclose(vector(found.embedding), vector(other.embedding), atol=BOUND)

    with ThreadPoolExecutor(14) as threads:
        assert all(threads.map(one, range(70)))


@pytest.mark.parametrize("name", TEXTS)
def test_what_runs_beside_an_utterance_changes_no_confidence(stubs: Stubs, name: str) -> None:
    """Lengths differ, and for a body with group normalization they must not matter."""

    def confidences(sound: Floats) -> list[float]:
        reply = stubs.transcription.Transcribe(Request(audio=floats(sound), head=name), timeout=60)
        return [
            token.log_prob
            for each in reply.segments
            for word in each.words
            for token in word.tokens
        ]

    sounds = [speech(samples, seed) for seed, samples in enumerate((9_000, 12_345, 20_000, 31_000))]
    alone = [confidences(sound) for sound in sounds]
    with ThreadPoolExecutor(8) as threads:
        for found, wanted in zip(threads.map(confidences, sounds * 3), alone * 3, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["base", "mms-spa", "bert"])
def test_an_upload_says_what_a_message_says(stubs: Stubs, name: str) -> None:
    long = np.concatenate([speech(RATE * 12, seed) for seed in range(4)])
    whole = stubs.transcription.Transcribe(Request(audio=floats(long), head=name), timeout=60)
    assert whole.usage.audio_seconds == 48
    kind = transcription_pb2.TranscribeUploadRequest
    config = kind.Config(head=name, pcm=float_format())
    data = np.asarray(long, "<f4").tobytes()
    *segments, last = stubs.transcription.TranscribeUpload(upload(kind, config, data, 99_999))
    assert [each.segment.text for each in segments] == [each.text for each in whole.segments]
    assert [each.segment.span for each in segments] == [each.span for each in whole.segments]
    assert (last.end.usage, last.end.language_code) == (whole.usage, whole.language_code)


def test_a_batch_goes_to_the_head_it_names(stubs: Stubs, texts: dict[str, str]) -> None:
    kind = transcription_pb2.BatchTranscribeRequest

    def messages() -> Iterator[Any]:
        yield kind(config=kind.Config(language_code="spa"))
        yield kind(file=kind.File(id="one", pcm=float_format()))
        yield kind(audio=np.asarray(SOUND, "<f4").tobytes())

    operation = stubs.transcription.BatchTranscribe(messages(), timeout=60)
    wait = operations_pb2.WaitOperationRequest(name=operation.name)
    wait.timeout.seconds = 60
    assert stubs.operations.WaitOperation(wait).done
    asked = transcription_pb2.ListTranscriptsRequest(operation=operation.name)
    (found,) = stubs.transcription.ListTranscripts(asked).transcripts
    assert (found.transcript.head, found.transcript.language_code) == ("mms-spa", "spa")
    assert " ".join(each.text for each in found.transcript.segments) == texts["mms-spa"]


def sample(time: Duration) -> int:
    return round(time.ToNanoseconds() * 16e-6)


@pytest.mark.parametrize("name", ["large", "bert"])
def test_live_speech_ends_as_what_a_message_says(stubs: Stubs, name: str) -> None:
    kind = transcription_pb2.StreamTranscribeRequest
    config = kind.Config(head=name, pcm=float_format())
    data = np.asarray(SOUND, "<f4").tobytes()
    replies = list(stubs.transcription.StreamTranscribe(upload(kind, config, data, 7_000)))
    finals = [each.final for each in replies if each.HasField("final")]
    assert any(final.segments for final in finals)
    for final in finals:
        start, end = sample(final.heard.start), sample(final.heard.end)
        said = " ".join(segment.text for segment in final.segments)
        assert said == written(stubs, SOUND[start:end], head=name)
    assert any(each.HasField("interim") for each in replies)


def test_a_head_that_reads_samples_looks_not_ahead(stubs: Stubs) -> None:
    kind = transcription_pb2.StreamTranscribeRequest
    mode = transcription_pb2.STREAM_MODE_LOOKAHEAD
    config = kind.Config(head="large", pcm=float_format(), mode=mode)
    sent = upload(kind, config, np.asarray(SOUND, "<f4").tobytes(), 7_000)
    with pytest.raises(grpc.RpcError) as caught:
        list(stubs.transcription.StreamTranscribe(sent))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "config.mode" in str(caught.value.details())


def test_heads_of_any_model_write_down_what_is_indexed(stubs: Stubs, texts: dict[str, str]) -> None:
    names = ["base", "mms-spa", "phones"]
    kept = collection_pb2.CollectionTexts(heads=names)
    create = collection_pb2.CreateCollectionRequest(name="written", texts=kept)
    stubs.collections.CreateCollection(create)
    recording = collection_pb2.Recording(id="one", audio=floats(SOUND))
    add = collection_pb2.AddRecordingsRequest(collection="written", recordings=[recording])
    (result,) = stubs.collections.AddRecordings(add, timeout=60).results
    assert not result.error.code, result.error
    get = collection_pb2.GetRecordingsRequest(collection="written", ids=["one"], include_texts=True)
    (stored,) = stubs.collections.GetRecordings(get).recordings
    phones = written(stubs, SOUND, head="phones")
    for name in names:
        lines = [line.text for line in stored.texts if line.head == name]
        assert " ".join(lines) == (texts | {"phones": phones})[name]


def test_probes_hear_the_served_model_beside_any_head(stubs: Stubs, texts: dict[str, str]) -> None:
    ask = probe_pb2.ClassifyAudioRequest(audio=floats(SOUND), probes=["language"])
    (alone,) = stubs.probes.ClassifyAudio(ask).classifications
    reply = stubs.transcription.Transcribe(
        Request(audio=floats(SOUND), head="base", probes=["language"]), timeout=60
    )
    assert " ".join(each.text for each in reply.segments) == texts["base"]
    (found,) = reply.classifications
    assert (found.labels, found.unknown) == (alone.labels, alone.unknown)
    for one, other in zip(found.scores, alone.scores, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-4)


def test_a_known_text_is_aligned_by_any_head(stubs: Stubs) -> None:
    ask = transcription_pb2.AlignRequest(audio=floats(SOUND), text="ñoz ü", language_code="es")
    reply = stubs.transcription.Align(ask, timeout=60)
    assert [word.text for word in reply.segment.words] == ["ñoz", "ü"]
    assert (reply.head, reply.language_code) == ("mms-spa", "spa")
    wrong = transcription_pb2.AlignRequest(audio=floats(SOUND), text="ñ", head="base")
    assert refused(stubs.transcription.Align, wrong).path == "text"


@pytest.fixture(scope="module")
def real_size(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A body as large as that of MMS, with adapters of eight languages; random weights."""
    sizes: dict[str, Any] = {
        **STABLE,
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "conv_dim": [512] * 7,
        "num_conv_pos_embeddings": 128,
        "num_conv_pos_embedding_groups": 16,
        "adapter_attn_dim": 16,
        "vocab_size": len(LANGUAGES["eng"]),
        "pad_token_id": 0,
    }
    model = wave(**sizes)
    names = ("eng", "deu", "fra", "ita", "por", "spa", "swh", "tur")
    path = tmp_path_factory.mktemp("real") / "mms"
    write(model, path, dict.fromkeys(names, LANGUAGES["eng"]), LANGUAGE_TOKENIZER)
    own = {name: tensor.clone() for name, tensor in model._get_adapters().items()}
    for name in names[1:]:
        save_file(own, path / f"adapter.{name}.safetensors")
    return path


@pytest.mark.slow
def test_eight_languages_take_hardly_more_memory_than_one(real_size: Path, tmp_path: Path) -> None:
    def resident(number: int, **settings: str) -> int:
        with Server(tmp_path / str(number), **settings) as server, Stubs(server.address()) as stubs:
            stubs.transcription.ListHeads(transcription_pb2.ListHeadsRequest(), timeout=60)
            return server.resident_bytes() // MEBIBYTE

    alone = resident(0)
    one = resident(1, MODEL__HEADS__MMS=f"{real_size}:eng")
    eight = resident(2, MODEL__HEADS__MMS=str(real_size))
    print(f"mini {alone} MiB, one language {one} MiB, eight {eight} MiB")  # noqa: T201  # a measurement
    assert one - alone > 1000
    assert eight - one < 60
