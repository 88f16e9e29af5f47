"""The heads that write letters, as they lie in the directory of a checkpoint.

    heads.json           {"letters": {NAME: {"layer": 6, "languages": ["spa"], ...}, ...}}
    heads.safetensors    the tensors letters.NAME.* of each

Both files may hold a head of phones beside them, and readers that know of no letters leave these.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, load_file, save

from embedsvc.encoder.checkpoints import Checkpoint
from embedsvc.encoder.config import read_object
from embedsvc.encoder.ctc.digests import with_digest
from embedsvc.encoder.ctc.heads import CtcHead
from embedsvc.encoder.ctc.letters import LetterHead, Shape
from embedsvc.encoder.ctc.sources import CONFIDENCE
from embedsvc.encoder.grid import FRAMES
from embedsvc.encoder.heads import CHOICES_FILE, TENSORS_FILE
from embedsvc.errors import FailedPrecondition
from embedsvc.files import replace_file
from embedsvc.timing import to_seconds
from embedsvc.types import Floats, HeadInfo, HeadKind, Vocabulary

LETTERS = "letters"
SPACE = "|"
"""The label that parts words."""

MOST_REACH = 50
"""Frames that a head may hear beyond its own: a window hears a second beyond what is its own."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_CODE = re.compile(r"[a-z]{3}")
_LONGEST_LICENSE = 100
_MOST_BLOCKS = 16


@dataclass(frozen=True)
class Written:
    """A head as it is written down: its tensors are kept in float16.

    `figures` are those of a measurement, by name, for whoever lists the heads.
    """

    name: str
    layer: int
    languages: tuple[str, ...]
    labels: tuple[str, ...]
    shape: Shape
    tensors: Mapping[str, Floats]
    license: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def write_letters(heads: Iterable[Written], directory: Path) -> None:
    """Put heads into a model directory, in place of those of the same names; others stay."""
    choices_path, tensors_path = directory / CHOICES_FILE, directory / TENSORS_FILE
    choices = dict(read_object(choices_path)) if choices_path.exists() else {}
    tensors = dict(load_file(tensors_path)) if tensors_path.exists() else {}
    described = dict(choices.get(LETTERS, {}))
    for head in heads:
        prefix = f"{LETTERS}.{head.name}."
        tensors = {name: each for name, each in tensors.items() if not name.startswith(prefix)}
        tensors |= {
            f"{prefix}{name}": each.astype(np.float16) for name, each in head.tensors.items()
        }
        described[head.name] = {
            "layer": head.layer,
            "languages": list(head.languages),
            "labels": list(head.labels),
            "blocks": head.shape.blocks,
            "license": head.license,
            "figures": dict(head.figures),
        }
    choices[LETTERS] = {name: described[name] for name in sorted(described)}
    # The tensors first: a description without them would not load.
    replace_file(tensors_path, save(tensors, metadata={"format": "pt"}))
    text = json.dumps(choices, ensure_ascii=False, indent=2)
    replace_file(choices_path, f"{text}\n".encode())


def load_letters(checkpoint: Checkpoint) -> tuple[CtcHead, ...]:
    """Heads of letters of a checkpoint, by name; none if it has none.

    Raises `FailedPrecondition` if their description and their tensors do not fit, or do not fit
    the model.
    """
    path = checkpoint.directory / CHOICES_FILE
    choices = read_object(path).get(LETTERS) if path.exists() else None
    if choices is None:
        return ()
    if not isinstance(choices, dict):
        raise _fault("", f"{CHOICES_FILE} has no object as its `letters`")
    tensors = _tensors(checkpoint.directory)
    return tuple(_head(name, choices[name], tensors, checkpoint) for name in sorted(choices))


def _head(name: str, choice: Any, tensors: Mapping[str, Floats], checkpoint: Checkpoint) -> CtcHead:
    if not _NAME.fullmatch(name) or not isinstance(choice, dict):
        raise _fault(name, f"{CHOICES_FILE} must call it by small letters, and describe it")
    labels = _labels(name, choice)
    mine = _own(name, tensors)
    shape = _shape(name, choice, mine, len(labels), checkpoint.config.hidden_size)
    info = HeadInfo(
        name=name,
        kind=HeadKind.TEXT,
        languages=_languages(name, choice),
        labels=len(labels),
        frame_seconds=to_seconds(FRAMES.hop),
        calibration=CONFIDENCE,
        license=_license(name, choice),
        figures=_figures(name, choice),
    )
    fitting = _fitting(name, mine, shape)
    head = CtcHead(
        info=info,
        vocabulary=Vocabulary(labels, blank=0, space=labels.index(SPACE)),
        layer=_layer(name, choice, checkpoint.config.num_hidden_layers),
        grid=FRAMES,
        scores=LetterHead(shape, fitting),
    )
    return with_digest(head, fitting, checkpoint.weights)


def _tensors(directory: Path) -> Mapping[str, Floats]:
    try:
        # By way of bytes, so that no map keeps the file from being replaced.
        return load((directory / TENSORS_FILE).read_bytes())
    except (OSError, KeyError, SafetensorError) as error:
        raise _fault("", f"{TENSORS_FILE} is absent, truncated or damaged") from error


def _own(name: str, tensors: Mapping[str, Floats]) -> dict[str, Floats]:
    prefix = f"{LETTERS}.{name}."
    return {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}


def _shape(
    name: str, choice: Mapping[str, Any], tensors: Mapping[str, Floats], labels: int, inputs: int
) -> Shape:
    """Sizes of a head: the blocks are told, the others are those of its tensors."""
    blocks = choice.get("blocks")
    if not isinstance(blocks, int) or isinstance(blocks, bool) or not 0 <= blocks <= _MOST_BLOCKS:
        raise _fault(name, f"it has {blocks!r} blocks, which is not from 0 to {_MOST_BLOCKS}")
    first = tensors.get("blocks.0.depthwise.weight")
    hidden = len(tensors["input.bias"]) if "input.bias" in tensors else 0
    kernel = first.shape[1] if first is not None and first.ndim == 2 else 1
    shape = Shape(inputs, hidden, blocks, kernel, labels)
    if kernel % 2 == 0 or shape.reach > MOST_REACH:
        raise _fault(
            name,
            f"it hears {shape.reach} frames around each, {kernel} at a time: the one must be at "
            f"most {MOST_REACH}, the other odd",
        )
    return shape


def _fitting(name: str, tensors: Mapping[str, Floats], shape: Shape) -> dict[str, torch.Tensor]:
    wanted = shape.tensors()
    if more := sorted(tensors.keys() - wanted.keys()):
        raise _fault(name, f"{TENSORS_FILE} has a tensor {more[0]} too many")
    found = {}
    for key, size in wanted.items():
        tensor = tensors.get(key)
        if tensor is None or tensor.shape != size or tensor.dtype not in (np.float16, np.float32):
            raise _fault(name, f"{TENSORS_FILE} has no {key} of shape {size} in float16 or float32")
        if not np.isfinite(tensor).all():
            raise _fault(name, f"{TENSORS_FILE} has NaN or infinity in {key}")
        found[key] = torch.from_numpy(tensor.astype(np.float32))
    return found


def _labels(name: str, choice: Mapping[str, Any]) -> tuple[str, ...]:
    labels = choice.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise _fault(name, f"{CHOICES_FILE} has no list of texts as its labels")
    if not labels or labels[0] or SPACE not in labels or len(set(labels)) < len(labels):
        raise _fault(
            name, f'its labels do not begin with "", have no "{SPACE}" or are not all different'
        )
    return tuple(labels)


def _languages(name: str, choice: Mapping[str, Any]) -> tuple[str, ...]:
    codes = choice.get("languages")
    if not isinstance(codes, list) or not codes:
        raise _fault(name, f"{CHOICES_FILE} has no list of its languages")
    if not all(isinstance(code, str) and _CODE.fullmatch(code) for code in codes):
        raise _fault(name, f"its languages are not codes of ISO 639-3: {codes}")
    return tuple(codes)


def _layer(name: str, choice: Mapping[str, Any], layers: int) -> int:
    layer = choice.get("layer")
    if not isinstance(layer, int) or isinstance(layer, bool) or not 0 <= layer <= layers:
        raise _fault(name, f"it reads the layer {layer!r}, which is not from 0 to {layers}")
    return layer


def _license(name: str, choice: Mapping[str, Any]) -> str:
    license = choice.get("license", "")
    if not isinstance(license, str) or len(license) > _LONGEST_LICENSE:
        raise _fault(name, "its license is no text, or a long one")
    return license


def _figures(name: str, choice: Mapping[str, Any]) -> dict[str, float]:
    figures = choice.get("figures", {})
    if not isinstance(figures, dict) or not all(
        isinstance(value, int | float) and math.isfinite(value) for value in figures.values()
    ):
        raise _fault(name, "its figures are not numbers by name")
    return {key: float(value) for key, value in figures.items()}


def _fault(name: str, what: str) -> FailedPrecondition:
    mine = f"head {name[:64]!r}" if name else "heads of letters"
    return FailedPrecondition(f"`model` must have sound {mine}, but {what}", field="model")
