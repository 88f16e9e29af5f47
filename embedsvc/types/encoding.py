"""What is asked of an encoder, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from embedsvc.types.arrays import Floats
from embedsvc.types.audio import AudioWarning, Span, Windowing

if TYPE_CHECKING:
    from embedsvc.types.probing import ProbeAnswer


class Pooling(StrEnum):
    """How the frames of a span become one vector."""

    NONE = "none"
    MEAN = "mean"
    MEAN_STD = "mean_std"
    MAX = "max"


class Precision(StrEnum):
    """In which numbers an encoder multiplies; `AUTO` is the fastest that changes little."""

    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"
    AUTO = "auto"


class Runtime(StrEnum):
    """What does the work of an encoder."""

    TORCH = "torch"
    ONNXRUNTIME = "onnxruntime"


class ExportFormat(StrEnum):
    """What a model is exported to."""

    ONNX = "onnx"
    ONNX_INT8 = "onnx-int8"

    @property
    def precision(self) -> Precision:
        """In which numbers such a model multiplies."""
        return Precision.INT8 if self is ExportFormat.ONNX_INT8 else Precision.FP32


class Lane(StrEnum):
    """How urgent a request is, the most urgent first; none waits for ever for another."""

    INTERACTIVE = "interactive"
    NORMAL = "normal"
    BULK = "bulk"


@dataclass(frozen=True)
class Moments:
    """What pooling needs to know of a run of frames of one layer; runs can be merged.

    `mean`, `squares` (sum of squared deviations from the mean) and `peak` are (D,).
    """

    count: int
    mean: Floats
    squares: Floats
    peak: Floats


@dataclass(frozen=True)
class Ask:
    """What one utterance wants of its pass through the encoder.

    `layers` are absolute (0 is the encoder's input). `keep` is the range of frames wanted at
    frame level, or None; `runs` are the ranges of frames whose moments are wanted.
    """

    layers: tuple[int, ...]
    keep: tuple[int, int] | None = None
    runs: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Encoded:
    """The answer to an `Ask`: per layer, frames (T, D) and the moments of each run."""

    frames: Mapping[int, Floats]
    moments: Mapping[int, tuple[Moments, ...]]


@dataclass(frozen=True)
class OutputSpec:
    """One thing asked of a pass.

    `layer` counts from 0 (the encoder's input), or from the end when negative; None is the
    model's own choice, as are `pooling` and `projection` when None. `profile` is the name of a
    choice of all three, which must then be None.
    """

    name: str = ""
    layer: int | None = None
    pooling: Pooling | None = None
    projection: str | None = None
    normalize: bool | None = None
    profile: str = ""


@dataclass(frozen=True)
class Space:
    """What must be equal for two vectors to be comparable.

    `fingerprint` is a hash over all other fields but `model`, which is a name for people, and
    the version of the features.
    """

    fingerprint: str
    model: str
    weights: str
    layer: int
    pooling: Pooling
    windowing: Windowing
    projection: str
    normalized: bool
    dim: int


@dataclass(frozen=True)
class Output:
    """A vector (D,), or frames (T, D) whose first row is at `span.start`, in a space."""

    name: str
    space: Space
    array: Floats
    span: Span


@dataclass(frozen=True)
class Timing:
    """Seconds that each stage of one request took.

    The stages of several windows, or utterances, overlap: they may add up to more than `total`.
    """

    decode: float = 0.0
    queue: float = 0.0
    compute: float = 0.0
    encode: float = 0.0
    total: float = 0.0
    moments: float = 0.0

    def written(self, seconds: float) -> "Timing":
        """The same, after the reply was written in `seconds`."""
        return replace(self, encode=self.encode + seconds, total=self.total + seconds)


@dataclass(frozen=True)
class Embedding:
    """Everything one utterance got out of its pass."""

    outputs: tuple[Output, ...]
    span: Span
    frames: int
    warnings: tuple[AudioWarning, ...] = ()
    digest: str = ""
    timing: Timing = field(default_factory=Timing)
    answers: "tuple[ProbeAnswer, ...]" = ()
