"""Requests to embed that can not be served as sent, and the path of what is wrong in them."""

from typing import Any

import numpy as np
import pytest

from embedsvc.v1 import embedding_pb2, types_pb2
from tests.service.calls import (
    BOUND,
    Refusal,
    Stubs,
    arrays,
    floats,
    item_refusal,
    options,
    pcm,
    pcm_format,
    refused,
    request,
    s16,
    speech,
    upload,
    vector,
)

pytestmark = pytest.mark.usefixtures("still_answers")

Spec = embedding_pb2.OutputSpec


def windowing(length: float, context: float = 1.0) -> types_pb2.Windowing:
    message = types_pb2.Windowing()
    message.length.FromNanoseconds(round(length * 1e9))
    message.context.FromNanoseconds(round(context * 1e9))
    return message


BAD_OPTIONS: dict[str, tuple[embedding_pb2.EmbedOptions, str]] = {
    "layer 99": (options(Spec(), Spec(layer=99)), "options.outputs[1].layer"),
    "layer -99": (options(Spec(layer=-99)), "options.outputs[0].layer"),
    "a pooling of the future": (options(Spec(pooling=77)), "options.outputs[0].pooling"),  # type: ignore[arg-type]  # on purpose
    "a dtype of the future": (options(Spec(), Spec(dtype=77)), "options.outputs[1].dtype"),  # type: ignore[arg-type]
    "an encoding of the future": (options(Spec(encoding=77)), "options.outputs[0].encoding"),  # type: ignore[arg-type]
    "a negative enum number": (options(Spec(pooling=-1)), "options.outputs[0].pooling"),  # type: ignore[arg-type]
    "a projection that is not there": (
        options(Spec(projection="../secret")),
        "options.outputs[0].projection",
    ),
    "a projection of frames": (
        options(Spec(projection="centered", pooling=types_pb2.POOLING_NONE)),
        "options.outputs[0].projection",
    ),
    "a profile that is not there": (options(Spec(profile="taste")), "options.outputs[0].profile"),
    "a profile beside a layer": (
        options(Spec(), Spec(profile="speaker", layer=2)),
        "options.outputs[1].profile",
    ),
    "17 outputs": (options(*[Spec()] * 17), "options.outputs"),
    "windows of half a second": (options(windowing=windowing(0.5)), "options.windowing.length"),
    "windows of 61 s": (options(windowing=windowing(61)), "options.windowing.length"),
    "negative windows": (options(windowing=windowing(-5)), "options.windowing.length"),
    "no context": (options(windowing=windowing(5, 0.05)), "options.windowing.context"),
    "a lane of the future": (options(lane=9), "options.lane"),
    "more context than window": (options(windowing=windowing(2, 3)), "options.windowing.context"),
}


@pytest.mark.parametrize("case", BAD_OPTIONS)
@pytest.mark.parametrize("method", ["Embed", "BatchEmbed", "EmbedUpload", "StreamEmbed"])
def test_bad_options_are_refused_with_their_path(stubs: Stubs, method: str, case: str) -> None:
    bad, path = BAD_OPTIONS[case]
    refusal = sent(stubs, method, bad)
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert refusal.path == path.replace("options", place_of_options(method), 1)
    assert refusal.domain == "embedsvc.v1"
    assert "secret" not in refusal.reason


def place_of_options(method: str) -> str:
    return "options" if method in {"Embed", "BatchEmbed"} else "config.options"


def sent(stubs: Stubs, method: str, bad: embedding_pb2.EmbedOptions) -> Refusal:
    """The refusal of good audio with bad options."""
    call = getattr(stubs.embedding, method)
    good = pcm(speech())
    if method == "Embed":
        return refused(call, embedding_pb2.EmbedRequest(audio=good, options=bad))
    if method == "BatchEmbed":
        return refused(call, embedding_pb2.BatchEmbedRequest(audios=[good], options=bad))
    kind: Any = getattr(embedding_pb2, f"{method}Request")
    config = kind.Config(pcm=good.pcm.format, options=bad)
    return refused(call, upload(kind, config, good.pcm.samples))


BAD_AUDIOS: dict[str, tuple[types_pb2.Audio, str]] = {
    "a channel policy of the future": (pcm(speech(), channel_policy=9), "channel_policy"),
    "a sample format of the future": (
        types_pb2.Audio(pcm=types_pb2.PcmAudio(format=pcm_format(layout=9), samples=s16(speech()))),
        "pcm.format.format",
    ),
    "no sample format": (
        types_pb2.Audio(pcm=types_pb2.PcmAudio(format=pcm_format(layout=0), samples=s16(speech()))),
        "pcm.format.format",
    ),
}


@pytest.mark.parametrize("case", BAD_AUDIOS)
def test_unknown_numbers_of_audio_are_refused_with_their_path(stubs: Stubs, case: str) -> None:
    audio, path = BAD_AUDIOS[case]
    refusal = refused(stubs.embedding.Embed, request(audio))
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert refusal.path == f"audio.{path}"


@pytest.mark.parametrize("case", BAD_AUDIOS)
def test_unknown_numbers_of_an_item_are_its_own_error(stubs: Stubs, case: str) -> None:
    audio, path = BAD_AUDIOS[case]
    batch = embedding_pb2.BatchEmbedRequest(audios=[pcm(speech()), audio])
    refusal = item_refusal(stubs.embedding.BatchEmbed(batch).items[1].error)
    assert refusal.path == f"audios[1].{path}"


@pytest.mark.parametrize("method", ["EmbedUpload", "StreamEmbed"])
def test_unknown_numbers_of_a_config_are_refused_with_their_path(stubs: Stubs, method: str) -> None:
    kind: Any = getattr(embedding_pb2, f"{method}Request")
    for config, path in (
        (kind.Config(pcm=pcm_format(), channel_policy=9), "config.channel_policy"),
        (kind.Config(pcm=pcm_format(layout=9)), "config.pcm.format"),
    ):
        call = getattr(stubs.embedding, method)
        assert refused(call, upload(kind, config, s16(speech()))).path == path


def test_another_model_is_not_found(stubs: Stubs) -> None:
    refusal = refused(stubs.embedding.Embed, request(model="facebook/w2v-bert-2.0"))
    assert (refusal.code, refusal.reason) == ("NOT_FOUND", "MODEL_NOT_FOUND")
    assert (refusal.path, refusal.resource) == ("options.model", "model")
    assert "'mini'" in refusal.message


def test_this_model_may_be_named(stubs: Stubs) -> None:
    assert stubs.embedding.Embed(request(model="mini")).embedding.outputs


@pytest.mark.parametrize("count", [0, 257])
def test_a_batch_has_one_to_256_items(stubs: Stubs, count: int) -> None:
    batch = embedding_pb2.BatchEmbedRequest(audios=[pcm(speech(0.05))] * count)
    refusal = refused(stubs.embedding.BatchEmbed, batch)
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert refusal.path == "audios"
    assert refusal.facts == {"max_items": "256", "items": str(count)}


BAD_ITEMS: dict[str, tuple[types_pb2.Audio, str]] = {
    "nothing": (types_pb2.Audio(id="nothing"), "AUDIO_EMPTY"),
    "no bytes": (types_pb2.Audio(encoded=b"", id="none"), "AUDIO_EMPTY"),
    "text": (types_pb2.Audio(encoded=b"text" * 100), "AUDIO_UNDECODABLE"),
    "a broken file": (types_pb2.Audio(encoded=b"OggS" + bytes(99)), "AUDIO_UNDECODABLE"),
    "too short": (pcm(speech(0.02)), "AUDIO_TOO_SHORT"),
    "too long": (pcm(np.zeros(4_000 * 601, np.float32), 4_000), "AUDIO_TOO_LONG"),
    "NaN": (floats(np.full(16_000, np.nan, np.float32)), "SAMPLES_NOT_FINITE"),
    "three channels": (
        floats(speech(1.5), channels=3, channel_policy=types_pb2.CHANNEL_POLICY_REJECT),
        "CHANNELS_REJECTED",
    ),
    "slow": (pcm(speech(), 3_999), "SAMPLE_RATE_OUT_OF_RANGE"),
    "odd": (
        types_pb2.Audio(pcm=types_pb2.PcmAudio(format=pcm_format(), samples=b"\0" * 32_001)),
        "PCM_SIZE",
    ),
    "future": (pcm(speech(), channel_policy=9), "FIELD_INVALID"),
}


def test_bad_items_of_a_batch_harm_no_other(stubs: Stubs) -> None:
    goods = [pcm(speech(0.3 + 0.4 * seed, seed), id=f"good {seed}") for seed in range(5)]
    alone = [vector(stubs.embedding.Embed(request(good)).embedding) for good in goods]
    bads = list(BAD_ITEMS.values())
    audios = [goods[0], *(bad for bad, _ in bads[:5]), *goods[1:4], *(b for b, _ in bads[5:])]
    audios.append(goods[4])
    answer = stubs.embedding.BatchEmbed(embedding_pb2.BatchEmbedRequest(audios=audios))
    assert len(answer.items) == len(audios)
    found, reasons = [], []
    for place, (audio, item) in enumerate(zip(audios, answer.items, strict=True)):
        if item.HasField("embedding"):
            assert item.embedding.id == audio.id
            found.append(vector(item.embedding))
        else:
            refusal = item_refusal(item.error)
            reasons.append(refusal.reason)
            assert refusal.path.split(".")[0] == f"audios[{place}]"
            assert not refusal.path.endswith((".", "audio"))
    assert reasons == [reason for _, reason in bads]
    np.testing.assert_allclose(found, alone, atol=BOUND)


def test_all_items_of_a_batch_may_be_bad(stubs: Stubs) -> None:
    batch = embedding_pb2.BatchEmbedRequest(audios=[bad for bad, _ in BAD_ITEMS.values()])
    items = stubs.embedding.BatchEmbed(batch).items
    assert [item_refusal(item.error).reason for item in items] == [r for _, r in BAD_ITEMS.values()]


def test_sixteen_outputs_are_served(stubs: Stubs) -> None:
    answer = stubs.embedding.Embed(request(None, *[Spec(layer=0)] * 16)).embedding
    assert len(arrays(answer)) == 16
