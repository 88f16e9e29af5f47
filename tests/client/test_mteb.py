"""The adapter on MTEB's batches as plain values, and with MTEB itself where it is installed."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from embedsvc import Client, OutputSpec
from embedsvc.audio import Door, decode
from embedsvc.client.mteb import MtebModel
from embedsvc.errors import AudioTooShort, InvalidArgument
from embedsvc.samples import clips
from embedsvc.types import Floats, Pooling

LANGUAGES = ("eng", "deu", "pol", "spa")


def batch(*arrays: Floats, rate: int = 16_000) -> dict[str, Any]:
    return {"audio": [{"array": array, "sampling_rate": rate} for array in arrays]}


def test_every_sound_of_every_batch_has_its_vector(client: Client, speech: Floats) -> None:
    half = speech[: len(speech) // 2]
    vectors = MtebModel(client).encode([batch(speech, half), batch(np.stack([half, half]))])
    expected = [client.embed((wave, 16_000)).vector for wave in (speech, half, half)]
    np.testing.assert_allclose(vectors, expected, atol=2e-5)


def test_the_output_can_be_chosen(client: Client, speech: Floats) -> None:
    model = MtebModel(client, OutputSpec("", 2, Pooling.MEAN, ""))
    assert model.encode([batch(speech)]).shape == (1, client.info().dim)


def test_other_rates_are_the_servers_to_resample(client: Client, speech: Floats) -> None:
    doubled = np.repeat(speech, 3)
    (vector,) = MtebModel(client).encode([batch(doubled, rate=48_000)])
    expected = client.embed((doubled, 48_000)).vector
    np.testing.assert_allclose(vector, expected, atol=2e-5)


@pytest.mark.parametrize("inputs", [{"text": ["a"]}, {"audio": [], "text": []}])
def test_what_is_no_audio_is_refused(client: Client, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="audio alone"):
        MtebModel(client).encode([inputs])


def test_no_audio_at_all_is_refused(client: Client) -> None:
    with pytest.raises(InvalidArgument, match="are empty"):
        MtebModel(client).encode([])


def test_a_sound_that_the_server_refuses_fails(client: Client, speech: Floats) -> None:
    with pytest.raises(AudioTooShort):
        MtebModel(client).encode([batch(speech, speech[:100])])


@pytest.mark.skipif(importlib.util.find_spec("mteb") is None, reason="needs mteb")
def test_mteb_runs_an_audio_task(client: Client) -> None:
    import mteb
    from datasets import Dataset, DatasetDict
    from mteb.mocks.mock_tasks import MockAudioClassification

    class Languages(MockAudioClassification):  # type: ignore[misc]  # untyped
        """Which of four languages a sentence of the package is in."""

        def load_data(self, **_: object) -> None:
            chosen = [clip for clip in clips("archive") if clip.language in LANGUAGES]
            waves = [decode(clip.data(), Door()).samples.tolist() for clip in chosen]
            labels = [LANGUAGES.index(clip.language) for clip in chosen]
            rows = Dataset.from_dict({**batch(*waves), "label": labels})
            self.dataset = DatasetDict({"train": rows, "test": rows})
            self.data_loaded = True

    model = MtebModel(client)
    results = mteb.evaluate(model, Languages(), cache=None, show_progress_bar=False)
    assert results.model_name == f"embedsvc/{client.info().model}"
    assert results.task_results[0].get_score() > 0.9
    vectors = model.encode([batch(*(np.eye(2, 16_000, dtype=np.float32) + 0.1))])
    cosines = model.similarity(vectors, vectors)
    assert cosines.shape == (2, 2)
    assert model.similarity_pairwise(vectors, vectors).tolist() == pytest.approx([1, 1], abs=1e-5)
