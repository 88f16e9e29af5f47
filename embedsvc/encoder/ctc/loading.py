"""From a checkpoint to its CTC heads."""

from collections.abc import Sequence
from dataclasses import replace

from embedsvc.encoder.checkpoints import Checkpoint, locate, verified
from embedsvc.encoder.config import read_object
from embedsvc.encoder.ctc.adapters import bert_adapter, bert_shapes, grid_after
from embedsvc.encoder.ctc.calibrations import calibrated
from embedsvc.encoder.ctc.cards import stated_languages
from embedsvc.encoder.ctc.digests import with_digest
from embedsvc.encoder.ctc.heads import CtcHead, Projection
from embedsvc.encoder.ctc.language_models import informed
from embedsvc.encoder.ctc.letter_files import load_letters
from embedsvc.encoder.ctc.licenses import stated_license
from embedsvc.encoder.ctc.sources import (
    CONFIDENCE,
    LM_HEAD,
    TEXT,
    described,
    has_ctc,
    head_shapes,
    read_sources,
    vocabulary_of,
)
from embedsvc.encoder.ctc.waveforms import language_heads, waveform_head
from embedsvc.encoder.grid import FRAMES
from embedsvc.encoder.heads import PhoneHead, load_phone_head
from embedsvc.encoder.layers import Weights
from embedsvc.encoder.tensors import PREFIX, Layout, read_layout
from embedsvc.encoder.waveform import WAVEFORM_TYPE, WaveformCheckpoint, resolve_waveform
from embedsvc.errors import InvalidArgument
from embedsvc.timing import to_seconds
from embedsvc.types import HeadInfo, HeadKind, Vocabulary

PHONES = "phones"
"""Name of the phone head of a checkpoint."""

AnyCheckpoint = Checkpoint | WaveformCheckpoint


def resolve_ctc(name: str, languages: Sequence[str] = ()) -> AnyCheckpoint:
    """Checkpoint of either kind, by the type that its config names.

    `languages` are those wanted of a model with adapters of languages, by default all that its
    directory has. Raises as `resolve` and `resolve_waveform` do.
    """
    found, directory = locate(name)
    config = directory / "config.json"
    if config.is_file() and read_object(config).get("model_type") == WAVEFORM_TYPE:
        return resolve_waveform(name, languages)
    if languages:
        raise InvalidArgument(
            f"`languages` must be empty for a model without adapters, but has {languages[0]!r}",
            field="languages",
        )
    return verified(found, directory)


def load_heads(checkpoint: AnyCheckpoint) -> tuple[CtcHead, ...]:
    """Heads that a checkpoint brings with its encoder, none if it is only that.

    The phone head and those of letters, that of a `Wav2Vec2BertForCTC` or of a `Wav2Vec2ForCTC`,
    or that of each language with adapters. Raises `FailedPrecondition` with every fault of a head
    that can not be run, or with that of a calibration or of a language model.
    """
    directory = checkpoint.directory
    heads = (calibrated(_with_origin(head, checkpoint), directory) for head in _heads(checkpoint))
    # The folder of a language model is for the head of the config, which is alone there.
    return tuple(
        informed(head, directory)
        if isinstance(head.scores, Projection) and not head.adapter
        else head
        for head in heads
    )


def _with_origin(head: CtcHead, checkpoint: AnyCheckpoint) -> CtcHead:
    """The head with the name of its model, and the languages of the text that its card names."""
    info = replace(head.info, model=checkpoint.name)
    if info.kind is HeadKind.TEXT and not info.languages:
        info = replace(info, languages=stated_languages(checkpoint.directory))
    return replace(head, info=info)


def _heads(checkpoint: AnyCheckpoint) -> tuple[CtcHead, ...]:
    there = has_ctc(checkpoint.directory, checkpoint.files)
    if isinstance(checkpoint, WaveformCheckpoint):
        if checkpoint.languages:
            return language_heads(checkpoint)
        return (waveform_head(checkpoint),) if there else ()
    phones = load_phone_head(checkpoint)
    heads = [_phone_head(phones, checkpoint)] if phones else []
    heads += load_letters(checkpoint)
    return (*heads, _bert_head(checkpoint)) if there else tuple(heads)


def _bert_head(checkpoint: Checkpoint) -> CtcHead:
    body = checkpoint.config
    sources, config = read_sources(checkpoint.directory, checkpoint.files, layers=1)
    tokenizer = sources.tokenizer
    vocabulary = vocabulary_of(tokenizer, tokenizer.language, config.labels, config.blank)
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
    found = CtcHead(
        info=described(TEXT, sources, vocabulary, grid),
        vocabulary=vocabulary,
        layer=body.num_hidden_layers,
        grid=grid,
        scores=Projection(linear, adapter),
    )
    return with_digest(found, tensors, checkpoint.weights)


def _phone_head(head: PhoneHead, checkpoint: Checkpoint) -> CtcHead:
    info = HeadInfo(
        name=PHONES,
        kind=HeadKind.PHONES,
        languages=(),
        labels=len(head.labels),
        frame_seconds=to_seconds(FRAMES.hop),
        calibration=CONFIDENCE,
        license=head.license or stated_license(checkpoint.directory),
    )
    found = CtcHead(info, Vocabulary(head.labels, blank=0), head.layer, FRAMES, head)
    return with_digest(found, {"weight": head.weight, "bias": head.bias}, checkpoint.weights)
