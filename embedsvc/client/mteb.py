"""A server as a model that MTEB can evaluate on its audio tasks.

import mteb
from embedsvc.client.mteb import MtebModel

with Client("localhost:50051") as client:
    mteb.evaluate(MtebModel(client), mteb.get_tasks(tasks=["CREMA_D"]))
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from embedsvc.client.client import Client
from embedsvc.errors import AudioTooLong, EmbedsvcError, InvalidArgument
from embedsvc.types import Floats, Lane, OutputSpec

TOGETHER = 16
"""Sounds in one call: half a minute of each, at 48 kHz, fits the usual limit of a message."""

Sound = Mapping[str, Any]
"""`array` (N,) or (channels, N), and `sampling_rate`."""


class MtebModel:
    """Embeds the audio of MTEB's batches as `output` says; texts and pictures are refused.

    Audio that the server refuses, such as an empty file, fails the task: a vector made up for it
    would be counted as the model's answer.
    """

    def __init__(self, client: Client, output: OutputSpec | None = None) -> None:
        self._client = client
        self._output = output or OutputSpec()
        self._meta: Any = None

    @property
    def mteb_model_meta(self) -> Any:
        """What MTEB writes beside the results."""
        if self._meta is None:
            from mteb.models import ModelMeta

            info = self._client.info()
            self._meta = ModelMeta.create_empty(
                {
                    "name": f"embedsvc/{info.model}",
                    "revision": info.weights,
                    "n_parameters": info.parameters,
                    "framework": ["PyTorch"],
                    "modalities": ["audio"],
                    "similarity_fn_name": "cosine",
                    "open_weights": True,
                }
            )
        return self._meta

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: object = None,
        hf_split: str = "",
        hf_subset: str = "",
        prompt_type: object = None,
        **_: object,
    ) -> Floats:
        """Vectors (N, D) of the audio of all batches, in their order.

        The task, its split and its prompt change nothing.
        """
        vectors = [vector for batch in inputs for vector in self._embedded(_sounds(batch))]
        if not vectors:
            raise InvalidArgument("`inputs` must hold audio, but are empty", field="inputs")
        return np.stack(vectors)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosines (N, M)."""
        from mteb.similarity_functions import cos_sim

        return cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Cosines (N,) of rows of equal number."""
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(embeddings1, embeddings2)

    def _embedded(self, sounds: Sequence[tuple[Floats, int]]) -> Iterator[Floats]:
        for first in range(0, len(sounds), TOGETHER):
            part = sounds[first : first + TOGETHER]
            answers = self._client.embed_batch(part, outputs=[self._output], lane=Lane.BULK)
            for sound, answer in zip(part, answers, strict=True):
                if isinstance(answer, AudioTooLong):
                    uploaded = self._client.embed(sound, outputs=[self._output], lane=Lane.BULK)
                    yield uploaded.vector
                elif isinstance(answer, EmbedsvcError):
                    raise answer
                else:
                    yield answer.vector


def _sounds(batch: Mapping[str, Any]) -> list[tuple[Floats, int]]:
    if "audio" not in batch or set(batch) & {"text", "image", "video"}:
        raise InvalidArgument(
            f"`inputs` must be audio alone, but are {', '.join(sorted(batch))}", field="inputs"
        )
    return [_sound(sound) for sound in batch["audio"]]


def _sound(sound: Sound) -> tuple[Floats, int]:
    """One channel and its rate."""
    array = np.asarray(sound["array"], np.float32)
    mono = array.mean(axis=0) if array.ndim > 1 else array
    return mono, int(sound["sampling_rate"])
