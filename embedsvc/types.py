"""The values that travel between rooms: immutable, and checked at the door that makes them.

Letters in shapes: N samples, T frames, D dimensions of a vector, S segments.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from embedsvc.timing import SAMPLE_RATE

Floats = NDArray[np.float32]
Codes = NDArray[np.int8]
"""What the frames of a recording became to be compared one by one: codes (N, d)."""

MetadataValue = str | bool | int | float
Metadata = Mapping[str, MetadataValue]


@dataclass(frozen=True, order=True)
class Span:
    """Part of a recording, from `start` up to `end`, in samples at 16 kHz."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def seconds(self) -> tuple[float, float]:
        """Start and end in seconds."""
        return self.start / SAMPLE_RATE, self.end / SAMPLE_RATE


class WarningCode(StrEnum):
    """What the door noticed about audio that it nevertheless accepted."""

    RESAMPLED = "resampled"
    DOWNMIXED = "downmixed"
    CLIPPING = "clipping"
    MOSTLY_SILENCE = "mostly_silence"
    VERY_SHORT = "very_short"
    TRUNCATED = "truncated"


@dataclass(frozen=True)
class AudioWarning:
    """One thing noticed about the audio, for people and for programs."""

    code: WarningCode
    message: str


class ChannelPolicy(StrEnum):
    """What to do with more than one channel."""

    MIX = "mix"
    FIRST = "first"
    REJECT = "reject"


class SampleFormat(StrEnum):
    """Layout of one raw PCM sample, little-endian."""

    S16 = "s16"
    F32 = "f32"


@dataclass(frozen=True)
class PcmFormat:
    """How to read raw PCM; channels are interleaved."""

    format: SampleFormat
    sample_rate: int
    channels: int = 1


@dataclass(frozen=True)
class Source:
    """Audio as a caller has it: the bytes of a file, or raw PCM when `pcm` says how to read it."""

    data: bytes
    pcm: PcmFormat | None = None
    policy: ChannelPolicy = ChannelPolicy.MIX
    strict: bool = False


@dataclass(frozen=True)
class Audio:
    """One mono utterance at 16 kHz, samples (N,) within [-1, 1] unless the source clipped."""

    samples: Floats
    warnings: tuple[AudioWarning, ...] = ()

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / SAMPLE_RATE


@dataclass(frozen=True)
class Frames:
    """What the encoder reads: features (T, 160), one row every 20 ms."""

    features: Floats

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class Window:
    """One stretch of audio for one pass of the encoder.

    `span` is what the encoder hears, `core` the part of it that this window answers for. The
    cores of a recording follow each other without gap or overlap, and both ends of both spans
    lie on the 20 ms grid, except the end of the recording.
    """

    samples: Floats
    span: Span
    core: Span


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
class Windowing:
    """How long audio is cut for the encoder; both in samples at 16 kHz.

    A window answers for up to `length`, cut where the speech is quietest, and hears up to
    `context` more on either side; the last one answers for up to `length` + `context`.
    """

    length: int = 20 * SAMPLE_RATE
    context: int = 1 * SAMPLE_RATE


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


@dataclass(frozen=True)
class Segment:
    """Part of a recording with a vector (D,) of its collection's space."""

    span: Span
    vector: Floats


@dataclass(frozen=True)
class Recording:
    """What a collection holds: an id, typed metadata and segments.

    `digest` is the SHA-256 of the audio it was made from, or empty; `length` is in samples.
    `codes` are of its frames, where the collection keeps them.
    """

    id: str
    segments: tuple[Segment, ...]
    metadata: Metadata = field(default_factory=dict)
    length: int = 0
    digest: str = ""
    codes: Codes | None = None


@dataclass(frozen=True)
class StoredRecording:
    """A recording as a collection gives it back."""

    id: str
    metadata: Metadata
    length: int
    digest: str
    spans: tuple[Span, ...]
    created_at: float
    sequence: int = 0


class MomentMethod(StrEnum):
    """How the moment that matched is found.

    `ALIGNMENT` wants the whole query in order, `LOCAL` any part of it, `MAX_SIM` each of its codes
    in any order.
    """

    ALIGNMENT = "alignment"
    LOCAL = "local"
    MAX_SIM = "max_sim"


@dataclass(frozen=True)
class MomentSearch:
    """A look at frames: everywhere, or only in so many of the nearest segments.

    Hits of a moment score under `min_score` are left out.
    """

    method: MomentMethod = MomentMethod.ALIGNMENT
    candidates: int | None = None
    min_score: float | None = None


@dataclass(frozen=True)
class MomentCodes:
    """How a collection keeps frames: `dim` bytes, `rate` times a second, of a layer's states."""

    layer: int
    rate: float
    dim: int


@dataclass(frozen=True)
class LanguageGuess:
    """A language that a vector may be in, by the collection's transform."""

    language: str
    probability: float


@dataclass(frozen=True)
class Explanation:
    """What a hit is like before the collection's transform: cosine with the query, languages."""

    stored_cosine: float
    languages: tuple[LanguageGuess, ...]


@dataclass(frozen=True)
class Limit:
    """At most `count` hits with the same value of the metadata field `field`.

    Recordings without the field are limited together.
    """

    field: str
    count: int


@dataclass(frozen=True)
class Hit:
    """One segment found, or the moment in it that matched; a higher score is nearer.

    Of a moment, `span` is where it is, `query_span` what of the query it is like, and
    `moment_score` the mean cosine of the codes that met, or, with a local alignment, the mean over
    the query of what they are above 0.2. `segment` is that it was found in, and None if all was
    looked through.
    """

    id: str
    score: float
    span: Span
    metadata: Metadata
    query_span: Span | None = None
    moment_score: float | None = None
    segment: Span | None = None
    explanation: Explanation | None = None


@dataclass(frozen=True)
class Place:
    """A segment of a recording."""

    id: str
    span: Span
    metadata: Metadata


@dataclass(frozen=True)
class Pair:
    """Two segments that belong together.

    `margin` is their cosine over the mean of that to the nearest of either; 0 where nobody asked.
    """

    left: Place
    right: Place
    margin: float
    cosine: float


@dataclass(frozen=True)
class Found:
    """The answer to a search: `scanned` segments were scored, `exact` when all allowed were."""

    hits: tuple[Hit, ...]
    sequence: int
    exact: bool
    scanned: int
    scanned_codes: int = 0
    query_languages: tuple[LanguageGuess, ...] = ()


@dataclass(frozen=True)
class Segmentation:
    """How a recording is cut into searchable segments; both in samples at 16 kHz."""

    length: int = 6 * SAMPLE_RATE
    hop: int = 3 * SAMPLE_RATE


@dataclass(frozen=True)
class IndexInfo:
    """How the older segments of a collection are searched, and how much of the truth that finds.

    `recall` is the share of the 10 true nearest that was found, on `measured_on` vectors and
    recent queries, when it was tuned for `target` with `segments` in it. A recipe that scores
    all has a recall of 1; when it was taken because another failed, `reason` says so.
    """

    recipe: str
    recall: float = 1.0
    target: float = 0.0
    measured_on: int = 0
    segments: int = 0
    reason: str = ""


@dataclass(frozen=True)
class TransformRecipe:
    """How vectors are moved before they are compared, in this order.

    `language` names the metadata field with the language of a recording, whose mean is taken away;
    empty to leave the languages' means in. `drop` leaves out leading principal components; to
    `whiten` is for vectors that no projection has whitened yet. None as `dim` keeps all dimensions
    that are not dropped.
    """

    language: str = ""
    standardize: bool = True
    drop: int = 0
    whiten: bool = False
    dim: int | None = None


@dataclass(frozen=True)
class FittedInfo:
    """The transform that a collection is searched through, fitted on `segments` of its own.

    `version` counts those it has had; `digest` is of the numbers of this one, which gives `dim`
    dimensions.
    """

    version: int
    digest: str
    dim: int
    recipe: TransformRecipe
    segments: int
    created_at: float


@dataclass(frozen=True)
class CollectionInfo:
    """A collection as it is now; counts are of live rows."""

    name: str
    space: Space
    segmentation: Segmentation
    recordings: int
    segments: int
    sequence: int
    created_at: float
    fitted: FittedInfo | None = None
    index: IndexInfo | None = None
    moments: MomentCodes | None = None
