import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
)

from embedsvc.encoder.ctc import CtcHead, load_heads, resolve_ctc
from embedsvc.encoder.tensors import shapes_in
from embedsvc.encoder.waveform import WaveformEncoder, resolve_waveform
from embedsvc.errors import AudioTooShort, FailedPrecondition, InvalidArgument
from embedsvc.types import Ask, Floats
from tests.encoder.ctc.published import (
    LANGUAGES,
    STABLE,
    WAVE,
    log_probabilities,
    of_languages,
    renamed,
    speech,
    wave,
    wave_logits,
    write,
)

NEAR = 5e-5
LENGTHS = (400, 719, 720, 5_000, 16_123)
OLDER = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


def whole_of(encoder: WaveformEncoder, samples: Floats, *layers: int) -> Ask:
    frames = encoder.frame_count(len(samples))
    return Ask(layers, (0, frames), ((0, frames),))


def states_of(
    encoder: WaveformEncoder, utterances: list[Floats], languages: list[str] | None = None
) -> list[Floats]:
    last = encoder.layers
    asks = [whole_of(encoder, each, last) for each in utterances]
    return [each.frames[last] for each in encoder.encode(utterances, asks, languages)]


def check(model: Any, encoder: WaveformEncoder, head: CtcHead, *, normalize: bool = True) -> None:
    utterances = [speech(length) for length in LENGTHS]
    found = states_of(encoder, utterances, [head.adapter] * len(utterances))
    for samples, states in zip(utterances, found, strict=True):
        wanted = wave_logits(model, samples, normalize=normalize)
        scores = head(states)
        assert len(scores) == head.count(len(states)) == len(wanted)
        np.testing.assert_allclose(scores, log_probabilities(wanted), atol=NEAR, rtol=0)
        np.testing.assert_array_equal(scores.argmax(1), wanted.argmax(1))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        STABLE,
        {"feat_extract_norm": "layer"},
        {"do_stable_layer_norm": True, "num_conv_pos_embeddings": 15},
        STABLE | {"hidden_act": "relu", "feat_extract_activation": "relu"},
        {"add_adapter": True, "num_adapter_layers": 2},
        STABLE | {"add_adapter": True, "num_adapter_layers": 1, "output_hidden_size": 32},
    ],
)
def test_utterances_of_one_call_are_what_the_reference_gives_for_each(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    model = wave(**changes)
    checkpoint = resolve_ctc(str(write(model, tmp_path)))
    encoder = WaveformEncoder.load(resolve_waveform(str(tmp_path)))
    (head,) = load_heads(checkpoint)
    check(model, encoder, head)


def test_samples_are_normalized_only_where_the_model_was_trained_so(tmp_path: Path) -> None:
    model = wave()
    write(model, tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    checkpoint = resolve_waveform(str(tmp_path))
    (head,) = load_heads(checkpoint)
    check(model, WaveformEncoder.load(checkpoint), head, normalize=False)


def test_older_names_of_the_same_weights_are_the_same_model(tmp_path: Path) -> None:
    model = wave()
    newer = resolve_waveform(str(write(model, tmp_path / "newer")))
    older = write(model, tmp_path / "older")
    renamed(older, OLDER)
    assert any(name.endswith("weight_g") for name in shapes_in(older, ("model.safetensors",)))
    checkpoint = resolve_waveform(str(older))
    assert checkpoint.weights == newer.weights
    (head,) = load_heads(checkpoint)
    check(model, WaveformEncoder.load(checkpoint), head)


def test_states_between_are_those_of_the_reference(tmp_path: Path) -> None:
    model = wave()
    encoder = WaveformEncoder.load(resolve_waveform(str(write(model, tmp_path))))
    samples = speech(3_000)
    (answer,) = encoder.encode([samples], [whole_of(encoder, samples, 0, 1, 2, 3)])
    normed = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    with torch.inference_mode():
        wanted = model(torch.from_numpy(normed)[None], output_hidden_states=True).hidden_states
    for layer in range(4):
        np.testing.assert_allclose(answer.frames[layer], wanted[layer][0].numpy(), atol=NEAR)
        np.testing.assert_allclose(
            answer.moments[layer][0].mean, wanted[layer][0].mean(0).numpy(), atol=NEAR
        )


def test_every_language_has_its_head_on_the_one_body(tmp_path: Path) -> None:
    checkpoint = resolve_ctc(str(of_languages(tmp_path)))
    heads = {head.info.name: head for head in load_heads(checkpoint)}
    assert sorted(heads) == sorted(LANGUAGES)
    encoder = WaveformEncoder.load(resolve_waveform(str(tmp_path)))
    model: Any = Wav2Vec2ForCTC.from_pretrained(tmp_path)
    model.eval()
    for language in LANGUAGES:
        head = heads[language]
        if language != "eng":  # whose adapters are among the weights themselves
            model.load_adapter(language)
        check(model, encoder, head)
        assert head.adapter == language
        assert head.info.languages == ({"azj-script_latin": "aze"}.get(language, language),)
        assert head.info.license == "cc-by-nc-4.0"
        assert head.info.labels == len(LANGUAGES[language]) == len(head.vocabulary.labels)


def test_a_call_may_hear_each_utterance_in_another_language(tmp_path: Path) -> None:
    encoder = WaveformEncoder.load(resolve_waveform(str(of_languages(tmp_path))))
    samples = [speech(4_000), speech(2_000), speech(4_000), speech(3_000)]
    languages = ["spa", "eng", "eng", "spa"]
    together = states_of(encoder, samples, languages)
    for each, language, states in zip(samples, languages, together, strict=True):
        (alone,) = states_of(encoder, [each], [language])
        np.testing.assert_allclose(states, alone, atol=2e-5)
    assert np.abs(together[0] - together[2]).max() > 0.1


def test_a_language_that_is_not_loaded_is_refused(tmp_path: Path) -> None:
    checkpoint = resolve_waveform(str(of_languages(tmp_path)), ["spa"])
    assert [head.info.name for head in load_heads(checkpoint)] == ["spa"]
    encoder = WaveformEncoder.load(checkpoint)
    for languages in (["eng"], None):
        with pytest.raises(FailedPrecondition, match=r"loaded \(spa\)") as caught:
            states_of(encoder, [speech(1_000)], languages)
        assert caught.value.field == "language"


def test_what_is_too_short_is_named(tmp_path: Path) -> None:
    encoder = WaveformEncoder.load(resolve_waveform(str(write(wave(), tmp_path))))
    assert (encoder.min_samples, encoder.grid.hop, encoder.frame_count(400)) == (400, 320, 1)
    with pytest.raises(AudioTooShort, match="at least 400 samples") as caught:
        encoder.encode([speech(400), speech(399)], [Ask((3,)), Ask((3,))])
    assert caught.value.field == "utterances[1]"
    with pytest.raises(FailedPrecondition, match="has no adapters"):
        states_of(encoder, [speech(400)], ["spa"])
    with pytest.raises(InvalidArgument, match="from -4 to 3"):
        encoder.resolve_layer(4)
    assert [encoder.resolve_layer(layer) for layer in (None, -1, -4, 2)] == [3, 3, 0, 2]
    encoder.warm_up()


def test_padding_and_masks_of_the_reference_change_nothing(tmp_path: Path) -> None:
    model = wave(**STABLE)
    checkpoint = resolve_waveform(str(write(model, tmp_path)))
    encoder, (head,) = WaveformEncoder.load(checkpoint), load_heads(checkpoint)
    utterances = [speech(length) for length in (3_000, 9_000, 5_321)]
    extractor: Any = Wav2Vec2FeatureExtractor
    inputs = extractor(return_attention_mask=True)(
        utterances, sampling_rate=16_000, padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        wanted = model(**inputs).logits.numpy()
    for states, padded in zip(states_of(encoder, utterances), wanted, strict=True):
        logits = log_probabilities(padded[: len(states)])
        np.testing.assert_allclose(head(states), logits, atol=NEAR, rtol=0)


def test_arrays_that_must_not_be_written_are_read(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    checkpoint = resolve_waveform(str(write(wave(), tmp_path)))
    encoder, (head,) = WaveformEncoder.load(checkpoint), load_heads(checkpoint)
    samples = speech(1_000)
    samples.flags.writeable = False
    (states,) = states_of(encoder, [samples])
    states.flags.writeable = False
    assert head(states).shape == (2, 9)


def test_a_model_before_it_learned_to_write_is_a_body_without_a_head(tmp_path: Path) -> None:
    values = {name: each for name, each in WAVE.items() if name != "vocab_size"}
    quantizer = {"codevector_dim": 16, "proj_codevector_dim": 16, "num_codevectors_per_group": 4}
    model: Any = Wav2Vec2ForPreTraining(Wav2Vec2Config(**(values | quantizer)))
    model.save_pretrained(tmp_path)
    checkpoint = resolve_waveform(str(tmp_path))
    assert load_heads(checkpoint) == ()
    (states,) = states_of(WaveformEncoder.load(checkpoint), [speech(2_000)])
    assert states.shape == (6, 48)


def test_silence_has_finite_states(tmp_path: Path) -> None:
    encoder = WaveformEncoder.load(resolve_waveform(str(write(wave(**STABLE), tmp_path))))
    (states,) = states_of(encoder, [np.zeros(2_000, np.float32)])
    assert np.isfinite(states).all()
