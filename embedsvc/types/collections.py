"""What a collection holds, and what it tells about itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from embedsvc.timing import SAMPLE_RATE
from embedsvc.types.arrays import Codes, Floats
from embedsvc.types.audio import Span
from embedsvc.types.encoding import Space
from embedsvc.types.texts import Line, Texts

MetadataValue = str | bool | int | float

Metadata = Mapping[str, MetadataValue]


@dataclass(frozen=True)
class Segment:
    """Part of a recording with a vector (D,) of its collection's space.

    Where a collection has several spaces, `vector` is of the first and `others` are of the rest, in
    their order.
    """

    span: Span
    vector: Floats
    others: tuple[Floats, ...] = ()

    @property
    def vectors(self) -> tuple[Floats, ...]:
        """One of each space, in their order."""
        return (self.vector, *self.others)

    @classmethod
    def of(cls, span: Span, vectors: Sequence[Floats]) -> Self:
        """The segment with a vector of each space."""
        return cls(span, vectors[0], tuple(vectors[1:]))


@dataclass(frozen=True)
class Recording:
    """What a collection holds: an id, typed metadata and segments.

    `digest` is the SHA-256 of the audio it was made from, or empty; `length` is in samples.
    `codes` are of its frames and `lines` its texts, where the collection keeps them.
    """

    id: str
    segments: tuple[Segment, ...]
    metadata: Metadata = field(default_factory=dict)
    length: int = 0
    digest: str = ""
    codes: Codes | None = None
    lines: tuple[Line, ...] = ()


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


@dataclass(frozen=True)
class MomentCodes:
    """How a collection keeps frames: `dim` bytes, `rate` times a second, of a layer's states."""

    layer: int
    rate: float
    dim: int


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
    """The transform that a space is searched through, fitted on `segments` of its collection.

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
class SpaceInfo:
    """A space of a collection as it is now; the only one may have an empty name."""

    name: str
    space: Space
    fitted: FittedInfo | None = None
    index: IndexInfo | None = None


@dataclass(frozen=True)
class CollectionInfo:
    """A collection as it is now; counts are of live rows.

    The first of `spaces` is searched when none is named; `space`, `fitted` and `index` tell of it.
    """

    name: str
    spaces: tuple[SpaceInfo, ...]
    segmentation: Segmentation
    recordings: int
    segments: int
    sequence: int
    created_at: float
    moments: MomentCodes | None = None
    texts: Texts | None = None

    @property
    def space(self) -> Space:
        """What vectors of the first space can be compared with."""
        return self.spaces[0].space

    @property
    def fitted(self) -> FittedInfo | None:
        """The transform that the first space is searched through."""
        return self.spaces[0].fitted

    @property
    def index(self) -> IndexInfo | None:
        """How the first space is searched."""
        return self.spaces[0].index
