"""The encoder that reads samples: utterances in, hidden states and their moments out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from embedsvc.encoder.grid import Grid
from embedsvc.encoder.model import extended, usable_device
from embedsvc.encoder.tensors import read_layout
from embedsvc.encoder.waveform.checkpoints import WaveformCheckpoint
from embedsvc.encoder.waveform.config import WaveformConfig
from embedsvc.encoder.waveform.layers import (
    LanguageAdapter,
    WaveformNetwork,
    language_adapters,
    waveform_network,
)
from embedsvc.encoder.waveform.tensors import language_layout, waveform_layout
from embedsvc.errors import AudioTooShort, FailedPrecondition, InvalidArgument
from embedsvc.types import Ask, Encoded, Floats, Precision, Samples

_EPSILON = 1e-7
"""Keeps silence from being divided by nothing; as published."""


@dataclass(frozen=True)
class WaveformEncoder:
    """A loaded wav2vec 2.0 model: `layers` blocks give hidden states 0 to `layers`, each `dim`.

    `adapters` are by language, empty for a model without; all share the one body. What a frame
    becomes depends on its own utterance and language alone: to the last bits of rounding, at most
    2e-5 in any dimension on a processor. `parameters` counts the values of the body, which it
    multiplies in `precision`.
    """

    name: str
    weights: str
    config: WaveformConfig
    parameters: int
    device: torch.device
    network: WaveformNetwork
    adapters: Mapping[str, tuple[LanguageAdapter, ...]]
    precision: Precision = Precision.FP32

    @classmethod
    def load(
        cls, checkpoint: WaveformCheckpoint, threads: int | None = None, device: str = "cpu"
    ) -> Self:
        """Model of a checkpoint, with adapters for its languages, in float32 on `device`.

        `threads` sets torch's for the whole process.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        place, config = usable_device(device), checkpoint.config
        read = read_layout(checkpoint.directory, checkpoint.files, waveform_layout(config))
        tensors = {name: tensor.to(place) for name, tensor in read.items()}
        del read
        parameters = sum(tensor.numel() for tensor in tensors.values())
        return cls(
            name=checkpoint.name,
            weights=checkpoint.weights,
            config=config,
            parameters=parameters,
            device=place,
            network=waveform_network(tensors, config),
            adapters={
                language: _adapters(checkpoint, language, place)
                for language in checkpoint.languages
            },
        )

    @property
    def dim(self) -> int:
        """Values of a hidden state."""
        return self.config.hidden_size

    @property
    def layers(self) -> int:
        """Blocks, and so the number of the deepest hidden state."""
        return self.config.num_hidden_layers

    @property
    def available(self) -> Sequence[int]:
        """Layers whose hidden states can be had, in order."""
        return range(self.layers + 1)

    @property
    def grid(self) -> Grid:
        """Which samples each frame hears."""
        return self.config.grid

    @property
    def min_samples(self) -> int:
        """The shortest utterance with one frame."""
        return self.grid.field

    def frame_count(self, samples: int) -> int:
        """Frames of an utterance of so many samples at 16 kHz."""
        return self.config.frame_count(samples)

    def resolve_layer(self, layer: int | None) -> int:
        """Absolute layer; None is the last, negative counts from it."""
        absolute = self.layers if layer is None else layer
        absolute = absolute + self.layers + 1 if absolute < 0 else absolute
        if not 0 <= absolute <= self.layers:
            raise InvalidArgument(
                f"`layer` must be from {-self.layers - 1} to {self.layers}, but is {layer}",
                field="layer",
            )
        return absolute

    def warm_up(self) -> None:
        """One short pass, so that the first caller does not wait for lazy set-up."""
        language = next(iter(self.adapters), "")
        samples = np.zeros(self.min_samples + 49 * self.grid.hop, np.float32)
        self.encode([samples], [Ask((self.layers,))], [language])

    def hear(self, utterances: Sequence[Samples], asks: Sequence[Ask]) -> list[Encoded]:
        """As `encode`, of utterances that say in which language each is heard."""
        languages = [each.language for each in utterances]
        return self.encode([each.samples for each in utterances], asks, languages)

    def encode(
        self,
        utterances: Sequence[Floats],
        asks: Sequence[Ask],
        languages: Sequence[str] | None = None,
    ) -> list[Encoded]:
        """Answers to the ask of each utterance, samples (N,) at 16 kHz, in the order given.

        `languages` says with whose adapters each is heard, "" for a model without. Utterances of
        one language run together, without padding. Raises `AudioTooShort` for less than
        `min_samples`, `FailedPrecondition` for a language that is not loaded.
        """
        spoken = [""] * len(utterances) if languages is None else languages
        self._check(utterances, asks, spoken)
        answers: dict[int, Encoded] = {}
        for language in dict.fromkeys(spoken):
            places = [place for place, each in enumerate(spoken) if each == language]
            chosen = [utterances[place] for place in places]
            found = self._encode(chosen, [asks[place] for place in places], language)
            answers |= zip(places, found, strict=True)
        return [answers[place] for place in range(len(utterances))]

    def _encode(
        self, utterances: Sequence[Floats], asks: Sequence[Ask], language: str
    ) -> list[Encoded]:
        answers = [Encoded({}, {}) for _ in asks]
        deepest = max((layer for ask in asks for layer in ask.layers), default=0)
        lengths = [self.frame_count(len(each)) for each in utterances]
        adapters = self.adapters[language] if language else ()
        with torch.inference_mode():
            inputs = [self._prepared(each) for each in utterances]
            passes = self.network.hidden_states(inputs, deepest, adapters)
            for layer, states in enumerate(passes):
                parts = states.split_with_sizes(lengths)
                answers = [
                    extended(answer, ask, layer, part)
                    for answer, ask, part in zip(answers, asks, parts, strict=True)
                ]
        return answers

    def _prepared(self, samples: Floats) -> Tensor:
        """Samples as the model was trained to hear them."""
        if self.config.do_normalize:
            mean = samples.mean(dtype=np.float64)
            scale = 1.0 / np.sqrt(samples.var(dtype=np.float64) + _EPSILON)
            samples = ((samples - mean) * scale).astype(np.float32)
        # A copy where the samples may not be written, which torch warns of.
        return torch.from_numpy(np.require(samples, np.float32, ["C", "W"])).to(self.device)

    def _check(
        self, utterances: Sequence[Floats], asks: Sequence[Ask], languages: Sequence[str]
    ) -> None:
        if not len(utterances) == len(asks) == len(languages):
            raise ValueError(
                f"{len(utterances)} `utterances` must not have {len(asks)} `asks` "
                f"and {len(languages)} `languages`"
            )
        for place, (samples, ask, language) in enumerate(
            zip(utterances, asks, languages, strict=True)
        ):
            self._check_one(samples, ask, f"utterances[{place}]")
            if language not in (self.adapters or ("",)):
                there = ", ".join(self.adapters) or "none, since the model has no adapters"
                raise FailedPrecondition(
                    f"`language` must be one that is loaded ({there}), but is {language!r}",
                    field="language",
                )

    def _check_one(self, samples: Floats, ask: Ask, field: str) -> None:
        if samples.ndim != 1:
            raise ValueError(f"`{field}` must not be of shape {samples.shape}")
        if len(samples) < self.min_samples:
            raise AudioTooShort(
                f"`{field}` must have at least {self.min_samples} samples at 16 kHz, "
                f"but has {len(samples)}",
                field=field,
            )
        frames = self.frame_count(len(samples))
        for begin, end in (*ask.runs, *((ask.keep,) if ask.keep else ())):
            if not 0 <= begin < end <= frames:
                raise ValueError(f"{begin}:{end} is no range of {frames} frames")
        for layer in ask.layers:
            if layer not in self.available:
                raise ValueError(f"`layers` must be of {list(self.available)}, not {layer}")


def _adapters(
    checkpoint: WaveformCheckpoint, language: str, device: torch.device
) -> tuple[LanguageAdapter, ...]:
    files = checkpoint.language_files(language)
    read = read_layout(checkpoint.directory, files, language_layout(checkpoint.config))
    tensors = {name: tensor.to(device) for name, tensor in read.items()}
    return language_adapters(tensors, checkpoint.config)
