"""The encoder: features of utterances in, hidden states and their moments out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from embedsvc.encoder.checkpoints import Checkpoint
from embedsvc.encoder.config import INPUT_SIZE
from embedsvc.encoder.integer_layers import in_integers
from embedsvc.encoder.layers import Network, network
from embedsvc.encoder.padded import PACKED, PaddedNetwork, on_gpu, tried
from embedsvc.encoder.pooling import normalize, pool
from embedsvc.encoder.profiles import Profile, chosen, read_profiles
from embedsvc.encoder.projections import (
    Defaults,
    Projection,
    Projections,
    read_defaults,
    read_projections,
)
from embedsvc.encoder.spaces import Identity, Recipe, space_of
from embedsvc.encoder.tensors import read_tensors
from embedsvc.errors import FailedPrecondition, InvalidArgument, SpaceMismatch
from embedsvc.types import (
    Ask,
    Encoded,
    Floats,
    Frames,
    Moments,
    OutputSpec,
    Pooling,
    Precision,
    Runtime,
    Space,
    Windowing,
)

_DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}


@dataclass(frozen=True)
class Plan:
    """An output spec with nothing left open, and the space its vectors are in."""

    layer: int
    pooling: Pooling
    projection: Projection | None
    normalize: bool
    space: Space


class States(Protocol):
    """What computes hidden states: our own network, or a runtime's."""

    def hidden_states(
        self, inputs: Tensor, lengths: Sequence[int], deepest: int
    ) -> Iterator[Tensor]:
        """States (N, C) of layers 0 to `deepest`, each when it is known."""


@dataclass(frozen=True)
class Encoder:
    """A loaded model; `layers` blocks give hidden states 0 (the input) to `layers`, each `dim`.

    `parameters` counts the values that hidden states depend on: neither heads nor training masks.
    `precision` says in which numbers it multiplies, and `why` these were chosen; `how` says how
    utterances of one call run together.
    `exported` are the layers that an exported model has; None means all. `directory` is where it
    was read from.
    What a frame becomes depends on its own utterance alone: to the last bits of rounding, at most
    2e-5 in any dimension on a processor.
    """

    name: str
    weights: str
    dim: int
    layers: int
    parameters: int
    device: torch.device
    defaults: Defaults
    projections: Projections
    network: States
    precision: Precision = Precision.FP32
    why: str = "exact"
    how: str = PACKED
    runtime: Runtime = Runtime.TORCH
    exported: tuple[int, ...] | None = None
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    directory: Path | None = None

    @property
    def available(self) -> Sequence[int]:
        """Layers whose hidden states can be had, in order."""
        return range(self.layers + 1) if self.exported is None else self.exported

    @classmethod
    def load(cls, checkpoint: Checkpoint, threads: int | None = None, device: str = "cpu") -> Self:
        """Model of a checkpoint, in float32 on a torch `device` such as `cuda` or `cuda:1`.

        On a GPU its padded pass is compiled and tried here, which takes a while. `threads` sets
        torch's for the whole process.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        place = usable_device(device)
        config = checkpoint.config
        layers = config.num_hidden_layers
        projections = read_projections(checkpoint.directory, config.hidden_size, layers)
        read = read_tensors(checkpoint.directory, checkpoint.files, config)
        tensors = {name: tensor.to(place) for name, tensor in read.items()}
        del read
        parameters = sum(tensor.numel() for tensor in tensors.values())
        packed = network(tensors, config)
        states, how = on_gpu(packed) if place.type == "cuda" else (packed, PACKED)
        return cls(
            name=checkpoint.name,
            weights=checkpoint.weights,
            dim=config.hidden_size,
            layers=layers,
            parameters=parameters,
            device=place,
            defaults=read_defaults(checkpoint.directory, layers, projections),
            projections=projections,
            network=states,
            how=how,
            profiles=read_profiles(checkpoint.directory, config, projections),
            directory=checkpoint.directory,
        )

    def with_projections(self, more: Projections) -> Self:
        """The same model with further projections; raises for one it has already."""
        return replace(self, projections=self.projections.joined(more))

    def at(self, precision: Precision) -> Self:
        """The same model with products in other numbers: smaller, on many machines faster.

        Whether its vectors are still good is for `in_precision` to tell.
        """
        padded = self.network if isinstance(self.network, PaddedNetwork) else None
        packed = padded.packed if padded else self.network
        if not isinstance(packed, Network):
            raise FailedPrecondition(
                f"`precision` of an exported model stays {self.precision}: export it anew",
                field="precision",
            )
        chosen: States
        if precision is Precision.INT8:
            chosen, how = in_integers(packed), PACKED
        elif padded:
            chosen, how = tried(padded.at(_DTYPES[precision]))
        else:
            chosen, how = packed.at(_DTYPES[precision]), self.how
        return replace(self, network=chosen, precision=precision, how=how)

    def warm_up(self) -> None:
        """One short pass, so that the first caller does not wait for lazy set-up."""
        self.encode([Frames(np.zeros((50, INPUT_SIZE), np.float32))], [Ask((self.available[-1],))])

    def resolve_layer(self, layer: int | None) -> int:
        """Absolute layer; None is the model's own, negative counts from the last."""
        if layer is None:
            return self.defaults.layer
        absolute = layer + self.layers + 1 if layer < 0 else layer
        if not 0 <= absolute <= self.layers:
            raise InvalidArgument(
                f"`layer` must be from {-self.layers - 1} to {self.layers}, but is {layer}",
                field="layer",
            )
        if absolute not in self.available:
            there = ", ".join(map(str, self.available))
            raise FailedPrecondition(
                f"`layer` must be one that was exported ({there}), but is {absolute}",
                field="layer",
            )
        return absolute

    def plan(self, spec: OutputSpec, windowing: Windowing) -> Plan:
        """Meaning of `spec` for this model; raises `InvalidArgument` if it can not be served."""
        spec = chosen(spec, self.profiles)
        layer = self.resolve_layer(spec.layer)
        pooling = self.defaults.pooling if spec.pooling is None else spec.pooling
        projection = self._projection(spec.projection, layer, pooling)
        unit = pooling is not Pooling.NONE if spec.normalize is None else spec.normalize
        tag, dim = (projection.tag, projection.dim) if projection else ("", None)
        identity = Identity(self.name, self.weights, self.dim)
        space = space_of(identity, Recipe(layer, pooling, tag, unit, dim), windowing)
        return Plan(layer, pooling, projection, unit, space)

    def plan_of(self, space: Space, field: str = "space") -> Plan:
        """How vectors of `space` are made; raises `SpaceMismatch` where this model makes none."""
        name, _, _ = space.projection.partition(":")
        spec = OutputSpec("", space.layer, space.pooling, name, space.normalized)
        made = "none"
        try:
            plan = self.plan(spec, space.windowing)
            if replace(plan.space, model=space.model) == space:
                return plan
            made = plan.space.fingerprint
        except (InvalidArgument, FailedPrecondition):
            pass  # no such layer or projection
        raise SpaceMismatch(
            f"`{field}` must be a space of the model {self.name}, but {space.fingerprint} is not: "
            f"of that layer, pooling and projection it makes {made}",
            field=field,
            wanted_fingerprint=space.fingerprint,
            made_fingerprint=made,
        )

    def finish(self, plan: Plan, moments: Moments) -> Floats:
        """Vector of a run of frames: pooled, projected, normalized; (D,) as in the plan's space."""
        vector = pool(moments, plan.pooling)
        if plan.projection:
            vector = plan.projection(vector)
        return normalize(vector) if plan.normalize else vector

    def finish_frames(self, plan: Plan, frames: Floats) -> Floats:
        """Frames (T, D) as the plan wants them."""
        return normalize(frames) if plan.normalize else frames

    def encode(self, utterances: Sequence[Frames], asks: Sequence[Ask]) -> list[Encoded]:
        """Answers to the ask of each utterance, in the order given, from one pass for all.

        The pass ends after the deepest layer asked for, and keeps nothing that nobody asked for.
        """
        self._check(utterances, asks)
        if not utterances:
            return []
        lengths = [len(utterance) for utterance in utterances]
        answers = [Encoded({}, {}) for _ in asks]
        deepest = max((layer for ask in asks for layer in ask.layers), default=0)
        with torch.inference_mode():
            packed = np.concatenate([each.features for each in utterances], dtype=np.float32)
            inputs = torch.from_numpy(packed).to(self.device)
            for layer, states in enumerate(self.network.hidden_states(inputs, lengths, deepest)):
                parts = states.split_with_sizes(lengths)
                answers = [
                    extended(answer, ask, layer, part)
                    for answer, ask, part in zip(answers, asks, parts, strict=True)
                ]
        return answers

    def _projection(self, name: str | None, layer: int, pooling: Pooling) -> Projection | None:
        if pooling is Pooling.NONE and name:
            raise InvalidArgument(
                f"`projection` must be empty without pooling, but is {name!r}", field="projection"
            )
        if name is None:
            name = self.defaults.projection
            if not self.projections.has(name, layer, pooling):
                return None
        return self.projections.find(name, layer, pooling) if name else None

    def _check(self, utterances: Sequence[Frames], asks: Sequence[Ask]) -> None:
        if len(utterances) != len(asks):
            raise ValueError(f"{len(utterances)} `utterances` must not have {len(asks)} `asks`")
        for frames, ask in zip(utterances, asks, strict=True):
            if (
                frames.features.ndim != 2
                or frames.features.shape[1] != INPUT_SIZE
                or not len(frames)
            ):
                raise ValueError(f"`features` must not be of shape {frames.features.shape}")
            for begin, end in (*ask.runs, *((ask.keep,) if ask.keep else ())):
                if not 0 <= begin < end <= len(frames):
                    raise ValueError(f"{begin}:{end} is no range of {len(frames)} frames")
            for layer in ask.layers:
                if layer not in self.available:
                    raise ValueError(f"`layers` must be of {list(self.available)}, not {layer}")


def usable_device(name: str) -> torch.device:
    """A device that is there; full precision on it, as on the processor.

    Raises `InvalidArgument` for a name that means none, `FailedPrecondition` without a GPU.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidArgument(
            f"`device` must be cpu, cuda or cuda:N, but is {name!r}", field="device"
        ) from error
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise FailedPrecondition(
                f"`device` {name!r} needs a GPU and a CUDA build of torch", field="device"
            )
        # Its 10-bit mantissa would cost three digits in the depthwise convolutions.
        torch.backends.cudnn.allow_tf32 = False
    return device


def extended(answer: Encoded, ask: Ask, layer: int, states: Tensor) -> Encoded:
    """Answer with what `ask` wants of this layer's states (T, D)."""
    if layer not in ask.layers:
        return answer
    moments = tuple(_moments(states[begin:end]) for begin, end in ask.runs)
    answer = replace(answer, moments={**answer.moments, layer: moments})
    if ask.keep is None:
        return answer
    begin, end = ask.keep
    # A copy, since a view would keep the states of the whole batch alive.
    kept: Floats = states[begin:end].cpu().numpy().copy()
    return replace(answer, frames={**answer.frames, layer: kept})


def _moments(states: Tensor) -> Moments:
    """Moments of a run (T, D), summed in float64 so that long runs lose nothing."""
    apart = states.double()
    mean = apart.mean(dim=0)
    apart -= mean
    return Moments(
        count=len(states),
        mean=mean.float().cpu().numpy(),
        squares=apart.square_().sum(dim=0).float().cpu().numpy(),
        peak=states.amax(dim=0).cpu().numpy(),
    )
