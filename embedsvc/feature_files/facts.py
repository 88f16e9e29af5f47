"""What a file of features says about itself, as JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedsvc.errors import DataLoss
from embedsvc.timing import FRAME_RATE, to_samples, to_seconds
from embedsvc.types import DType, Pooling, Segmentation, Space, Windowing

FORMAT, VERSION = "embedsvc-features", 1


@dataclass(frozen=True)
class Facts:
    """The spaces of the outputs by name, in which numbers they are, and how recordings are cut.

    The name of the only output is empty. Without a `segmentation` a recording is one row, or one
    for each frame.
    """

    spaces: Mapping[str, Space]
    dtype: DType
    segmentation: Segmentation | None = None

    @property
    def frames(self) -> bool:
        """Whether rows are frames."""
        return any(space.pooling is Pooling.NONE for space in self.spaces.values())

    def key(self, kind: str, name: str) -> str:
        """The name of what is kept of an output, such as `vectors` or `space_layer_3`."""
        return f"{kind}_{name}" if name else kind

    def to_json(self) -> str:
        """For a file."""
        cut = self.segmentation
        fields: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "rows": "frames" if self.frames else "segments" if cut else "recordings",
            "frame_rate": FRAME_RATE if self.frames else None,
            "dtype": self.dtype.value,
            "segmentation": cut
            and {"length_seconds": to_seconds(cut.length), "hop_seconds": to_seconds(cut.hop)},
            "spaces": {name: space_fields(space) for name, space in self.spaces.items()},
        }
        return json.dumps(fields)

    @classmethod
    def from_json(cls, text: str) -> "Facts":
        """Those of a file; raises DataLoss for what is not ours, or of a later form."""
        try:
            fields = json.loads(text)
            if (fields["format"], fields["version"]) != (FORMAT, VERSION):
                raise DataLoss(f"`facts` must be {FORMAT} {VERSION}, but are {fields['version']}")
            cut = fields["segmentation"]
            return cls(
                {name: space_of(each) for name, each in fields["spaces"].items()},
                DType(fields["dtype"]),
                cut
                and Segmentation(to_samples(cut["length_seconds"]), to_samples(cut["hop_seconds"])),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataLoss(f"`facts` must be those of features, but {error!r}") from error


def space_fields(space: Space) -> dict[str, Any]:
    """A space for JSON."""
    return {
        "fingerprint": space.fingerprint,
        "model": space.model,
        "weights": space.weights,
        "layer": space.layer,
        "pooling": space.pooling.value,
        "window_seconds": to_seconds(space.windowing.length),
        "context_seconds": to_seconds(space.windowing.context),
        "projection": space.projection,
        "normalized": space.normalized,
        "dim": space.dim,
    }


def space_of(fields: Mapping[str, Any]) -> Space:
    """The space that `space_fields` wrote."""
    return Space(
        fingerprint=fields["fingerprint"],
        model=fields["model"],
        weights=fields["weights"],
        layer=fields["layer"],
        pooling=Pooling(fields["pooling"]),
        windowing=Windowing(
            to_samples(fields["window_seconds"]), to_samples(fields["context_seconds"])
        ),
        projection=fields["projection"],
        normalized=fields["normalized"],
        dim=fields["dim"],
    )
