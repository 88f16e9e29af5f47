"""What an exported model says of itself, in the file beside its graph."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedsvc.encoder.checkpoints import EXPORT_FILE
from embedsvc.encoder.config import read_object
from embedsvc.encoder.onnx.graph import MODEL_FILE, OPSET, WEIGHTS_FILE
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.types import ExportFormat

FILES = (MODEL_FILE, WEIGHTS_FILE)


@dataclass(frozen=True)
class Manifest:
    """Whose hidden states a graph gives, which, and how near they are to those of its source.

    `weights` is the fingerprint of the checkpoint: vectors of the two can be compared. `files`
    has the SHA-256 of each file, `quality` the figures that allowed the export, and `vector` what
    the source gives by default for the first clip of the probe.
    """

    format: ExportFormat
    opset: int
    layers: tuple[int, ...]
    model: str
    weights: str
    parameters: int
    files: Mapping[str, str]
    quality: Mapping[str, Any]
    vector: tuple[float, ...]

    def write(self, directory: Path) -> None:
        """Write it into the directory of the model."""
        text = json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"
        (directory / EXPORT_FILE).write_text(text, encoding="utf-8")


def read_manifest(directory: Path) -> Manifest:
    """Manifest of an exported model.

    Raises `InvalidArgument` if there is none, and `FailedPrecondition` if it is of no use.
    """
    if not (directory / EXPORT_FILE).is_file():
        raise InvalidArgument(
            "`model` must be a directory that `embedsvc models export` made, but has no "
            f"{EXPORT_FILE}",
            field="model",
        )
    values = read_object(directory / EXPORT_FILE)
    unsound = [name for name, is_sound in _RULES.items() if not is_sound(values.get(name))]
    if unsound:
        raise fault(f"{EXPORT_FILE} has no sound `{unsound[0]}`")
    return Manifest(
        format=ExportFormat(values["format"]),
        opset=values["opset"],
        layers=tuple(values["layers"]),
        model=values["model"],
        weights=values["weights"],
        parameters=values["parameters"],
        files=values["files"],
        quality=values["quality"],
        vector=tuple(values["vector"]),
    )


def digests(directory: Path) -> dict[str, str]:
    """SHA-256 of each file that a runtime reads."""
    found = {}
    for name in FILES:
        path = directory / name
        # A link could lead anywhere, and a runtime would follow it.
        if path.is_symlink() or not path.is_file():
            raise fault(f"{name} is not a file of its directory")
        with path.open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def fault(what: str) -> FailedPrecondition:
    """What is said of an exported model that can not be served."""
    return FailedPrecondition(f"`model` must be a sound export, but {what}", field="model")


def _is_layers(value: Any) -> bool:
    whole = isinstance(value, list) and all(type(layer) is int and layer >= 0 for layer in value)
    return whole and bool(value) and value == sorted(set(value))


_RULES: dict[str, Callable[[Any], bool]] = {
    "format": lambda value: value in list(ExportFormat),
    "opset": lambda value: value == OPSET,
    "layers": _is_layers,
    "model": lambda value: isinstance(value, str) and 0 < len(value) <= 200,
    "weights": lambda value: isinstance(value, str) and len(value) == 64,
    "parameters": lambda value: type(value) is int and value > 0,
    "files": lambda value: isinstance(value, dict) and set(value) == set(FILES),
    "quality": lambda value: isinstance(value, dict),
    "vector": lambda value: (
        isinstance(value, list) and all(isinstance(each, float) for each in value)
    ),
}
"""When a value of a manifest is sound, by its name."""
