"""What the heads of a checkpoint have in common: their files, and how they are described."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsvc.ctc import Calibration
from embedsvc.encoder.config import read_object
from embedsvc.encoder.ctc.config import HeadConfig, head_config, head_faults
from embedsvc.encoder.ctc.licenses import stated_license
from embedsvc.encoder.ctc.vocabulary import Tokenizer, read_tokenizer
from embedsvc.encoder.grid import Grid
from embedsvc.encoder.tensors import Shape, linear_shapes, shapes_in
from embedsvc.errors import FailedPrecondition
from embedsvc.timing import to_seconds
from embedsvc.types import HeadInfo, Vocabulary

TEXT = "text"
"""Name of the head that is the only one of its checkpoint to write text."""

CONFIDENCE = Calibration().method
"""How sure a label is where nothing was calibrated: by its probability."""

LM_HEAD = ("lm_head.weight", "lm_head.bias")


@dataclass(frozen=True)
class Sources:
    """What the heads of one checkpoint have in common."""

    directory: Path
    files: tuple[str, ...]
    values: Mapping[str, Any]
    tokenizer: Tokenizer
    license: str


def has_ctc(directory: Path, files: tuple[str, ...]) -> bool:
    """Whether there is a head: its tensors, or at least the claim of the config."""
    named = read_object(directory / "config.json").get("architectures")
    claimed = isinstance(named, list) and any(str(name).endswith("ForCTC") for name in named)
    return claimed or any(name in LM_HEAD for name in shapes_in(directory, files))


def read_sources(
    directory: Path, files: tuple[str, ...], layers: int
) -> tuple[Sources, HeadConfig]:
    """What a head needs beside its tensors; `layers` is how many an adapter has by default."""
    values = read_object(directory / "config.json")
    tokenizer, faults = read_tokenizer(directory)
    faults = [*head_faults(values, layers), *faults]
    if faults or tokenizer is None:
        raise head_fault(faults)
    sources = Sources(directory, files, values, tokenizer, stated_license(directory))
    return sources, head_config(values, layers)


def head_fault(faults: Iterable[str]) -> FailedPrecondition:
    """An error with everything that keeps a head from being run."""
    return FailedPrecondition(
        f"`model` must have a CTC head we can run: {'; '.join(faults)}", field="model"
    )


def vocabulary_of(tokenizer: Tokenizer, language: str, labels: int, blank: int) -> Vocabulary:
    """Labels of a head for a language, or an error with all that is wrong with them."""
    key = tokenizer.key(language)
    if faults := list(tokenizer.faults(key, labels, blank)):
        raise head_fault(faults)
    return tokenizer.vocabulary(key, labels, blank)


def head_shapes(config: HeadConfig) -> dict[str, Shape]:
    """Tensors of the map to labels."""
    return linear_shapes("lm_head", config.labels, config.inputs)


def described(name: str, sources: Sources, vocabulary: Vocabulary, grid: Grid) -> HeadInfo:
    """What is listed of a head for any language."""
    return HeadInfo(
        name=name,
        kind=sources.tokenizer.kind,
        languages=(),
        labels=len(vocabulary.labels),
        frame_seconds=to_seconds(grid.hop),
        calibration=CONFIDENCE,
        license=sources.license,
    )
