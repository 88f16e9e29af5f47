"""From a checkpoint to its CTC heads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedsvc.encoder.checkpoints import Checkpoint
from embedsvc.encoder.config import read_object
from embedsvc.encoder.ctc.adapters import bert_adapter, bert_shapes, grid_after
from embedsvc.encoder.ctc.config import HeadConfig, head_config, head_faults
from embedsvc.encoder.ctc.heads import CtcHead, Projection
from embedsvc.encoder.ctc.licenses import stated_license
from embedsvc.encoder.ctc.vocabulary import Tokenizer, read_tokenizer
from embedsvc.encoder.grid import FRAMES, Grid
from embedsvc.encoder.heads import PhoneHead, load_phone_head
from embedsvc.encoder.layers import Weights
from embedsvc.encoder.tensors import PREFIX, Layout, linear_shapes, read_layout, shapes_in
from embedsvc.errors import FailedPrecondition
from embedsvc.timing import to_seconds
from embedsvc.types import HeadInfo, HeadKind, Vocabulary

PHONES = "phones"
TEXT = "text"
"""Names of the heads that are the only one of their kind."""

CONFIDENCE = "entropy/v1"
"""How sure a label is where nothing was calibrated: by the entropy of its frames."""

LM_HEAD = ("lm_head.weight", "lm_head.bias")


@dataclass(frozen=True)
class Sources:
    """What the heads of one checkpoint have in common."""

    directory: Path
    files: tuple[str, ...]
    values: Mapping[str, Any]
    tokenizer: Tokenizer
    license: str


def load_heads(checkpoint: Checkpoint) -> tuple[CtcHead, ...]:
    """Heads that a checkpoint brings with its encoder, none if it is only that.

    Its phone head, and that of a `Wav2Vec2BertForCTC`. Raises `FailedPrecondition` with every
    fault of a head that can not be run.
    """
    phones = load_phone_head(checkpoint)
    heads = [_phone_head(phones, checkpoint)] if phones else []
    if has_ctc(checkpoint.directory, checkpoint.files):
        heads.append(_bert_head(checkpoint))
    return tuple(heads)


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
    """Labels of a head, or an error with all that is wrong with them."""
    if faults := list(tokenizer.faults(language, labels, blank)):
        raise head_fault(faults)
    return tokenizer.vocabulary(language, labels, blank)


def head_shapes(config: HeadConfig) -> dict[str, tuple[int, ...]]:
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


def _bert_head(checkpoint: Checkpoint) -> CtcHead:
    body = checkpoint.config
    sources, config = read_sources(checkpoint.directory, checkpoint.files, layers=1)
    vocabulary = vocabulary_of(
        sources.tokenizer, sources.tokenizer.language, config.labels, config.blank
    )
    shapes = head_shapes(config)
    if config.adapter:
        shapes |= bert_shapes(config.adapter, body.hidden_size, body.intermediate_size)
    layout = Layout(shapes, PREFIX, ignored=("",), bare=LM_HEAD)
    tensors = read_layout(checkpoint.directory, checkpoint.files, layout)
    linear = Weights(tensors).linear("lm_head")
    adapter = None
    if config.adapter:
        heads, epsilon = body.num_attention_heads, body.layer_norm_eps
        adapter = bert_adapter(tensors, config.adapter, heads, epsilon)
    padding = config.adapter.stride // 2 if config.adapter else 0
    grid = grid_after(FRAMES, config.adapter, padding)
    return CtcHead(
        info=described(TEXT, sources, vocabulary, grid),
        vocabulary=vocabulary,
        layer=body.num_hidden_layers,
        grid=grid,
        scores=Projection(linear, adapter),
    )


def _phone_head(head: PhoneHead, checkpoint: Checkpoint) -> CtcHead:
    info = HeadInfo(
        name=PHONES,
        kind=HeadKind.PHONES,
        languages=(),
        labels=len(head.labels),
        frame_seconds=to_seconds(FRAMES.hop),
        calibration=CONFIDENCE,
        license=stated_license(checkpoint.directory),
    )
    return CtcHead(info, Vocabulary(head.labels, blank=0), head.layer, FRAMES, head)
