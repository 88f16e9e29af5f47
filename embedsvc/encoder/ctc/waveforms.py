"""CTC heads of models that read samples: one for all, or one for each language."""

import re
from dataclasses import replace

from embedsvc.encoder.ctc.adapters import (
    PLAIN_PADDING,
    grid_after,
    plain_adapter,
    plain_shapes,
)
from embedsvc.encoder.ctc.bodies import Body
from embedsvc.encoder.ctc.config import MOST_LABELS, HeadConfig
from embedsvc.encoder.ctc.digests import with_digest
from embedsvc.encoder.ctc.heads import CtcHead, Projection
from embedsvc.encoder.ctc.sources import (
    LM_HEAD,
    TEXT,
    Sources,
    described,
    head_fault,
    head_shapes,
    read_sources,
    vocabulary_of,
)
from embedsvc.encoder.layers import Weights
from embedsvc.encoder.tensors import Layout, read_layout, shapes_in
from embedsvc.encoder.waveform import WaveformCheckpoint
from embedsvc.encoder.waveform.tensors import WAVEFORM_PREFIX
from embedsvc.errors import InvalidArgument
from embedsvc.languages import normalize

LANGUAGES_LICENSE = "cc-by-nc-4.0"
"""Of the published models with adapters of languages (MMS, Pratap et al. 2023), and so of what is
made from them: said where a checkpoint does not say itself."""

_LAYERS = 3
"""Of an adapter with a stride, where nobody says."""

_CODE = re.compile(r"([a-z]{3})(-.*)?", re.ASCII)


def waveform_head(checkpoint: WaveformCheckpoint) -> CtcHead:
    """The one head of a `Wav2Vec2ForCTC`."""
    sources, config = read_sources(checkpoint.directory, checkpoint.files, _LAYERS)
    body, tokenizer = checkpoint.config, sources.tokenizer
    vocabulary = vocabulary_of(tokenizer, tokenizer.language, config.labels, config.blank)
    shapes = head_shapes(config)
    if config.adapter:
        shapes |= plain_shapes(config.adapter, body.hidden_size)
    layout = Layout(shapes, WAVEFORM_PREFIX, ignored=("",), bare=LM_HEAD)
    tensors = read_layout(checkpoint.directory, checkpoint.files, layout)
    linear = Weights(tensors).linear("lm_head")
    adapter = plain_adapter(tensors, config.adapter) if config.adapter else None
    grid = grid_after(body.grid, config.adapter, PLAIN_PADDING)
    head = CtcHead(
        info=described(TEXT, sources, vocabulary, grid),
        vocabulary=vocabulary,
        layer=body.num_hidden_layers,
        grid=grid,
        scores=Projection(linear, adapter),
        body=Body(grid=body.grid, of_samples=True),
    )
    return with_digest(head, tensors, checkpoint.weights)


def language_heads(checkpoint: WaveformCheckpoint) -> tuple[CtcHead, ...]:
    """A head for each language of a checkpoint with adapters of languages."""
    sources, config = read_sources(checkpoint.directory, checkpoint.files, _LAYERS)
    if config.adapter:
        raise head_fault(["`add_adapter` must be false with `adapter_attn_dim`, but is true"])
    return tuple(
        _language_head(checkpoint, sources, config, language) for language in checkpoint.languages
    )


def _language_head(
    checkpoint: WaveformCheckpoint, sources: Sources, config: HeadConfig, language: str
) -> CtcHead:
    files, body = checkpoint.language_files(language), checkpoint.config
    # Each language has labels of its own; how many, only its head says.
    labels, *_ = shapes_in(checkpoint.directory, files).get(LM_HEAD[0], ()) or (0,)
    if not config.blank < labels <= MOST_LABELS:
        rule = f"must be from {config.blank + 1} to {MOST_LABELS}"
        raise head_fault([f"the labels of {language} {rule}, but are {labels}"])
    config = replace(config, labels=labels)
    vocabulary = vocabulary_of(sources.tokenizer, language, labels, config.blank)
    layout = Layout(head_shapes(config), WAVEFORM_PREFIX, ignored=("",), bare=LM_HEAD)
    tensors = read_layout(checkpoint.directory, files, layout)
    info = replace(
        described(language, sources, vocabulary, body.grid),
        languages=_codes(language),
        license=sources.license or LANGUAGES_LICENSE,
    )
    head = CtcHead(
        info=info,
        vocabulary=vocabulary,
        layer=body.num_hidden_layers,
        grid=body.grid,
        scores=Projection(Weights(tensors).linear("lm_head")),
        body=Body(grid=body.grid, of_samples=True, adapter=language),
    )
    return with_digest(head, tensors, checkpoint.weights)


def _codes(language: str) -> tuple[str, ...]:
    """The language as requests are understood, or as the model calls it where we do not know it."""
    found = _CODE.fullmatch(language)
    if found is None:
        return ()
    try:
        return (normalize(found[1]),)
    except InvalidArgument:
        return (found[1],)
