"""The tensors of a wav2vec 2.0 checkpoint, by where they belong: body, language or head."""

from embedsvc.encoder.tensors import Layout, Shape, linear_shapes, norm_shapes
from embedsvc.encoder.waveform.config import WaveformConfig

WAVEFORM_PREFIX = "wav2vec2."

MAGNITUDE = "encoder.pos_conv_embed.conv.parametrizations.weight.original0"
DIRECTION = "encoder.pos_conv_embed.conv.parametrizations.weight.original1"

_OLDER = {
    MAGNITUDE: "encoder.pos_conv_embed.conv.weight_g",
    DIRECTION: "encoder.pos_conv_embed.conv.weight_v",
}
"""What weight normalization called its parts before torch had parametrizations."""

_IGNORED = (
    "masked_spec_embed",
    "adapter.",
    "lm_head.",
    "quantizer.",
    "project_hid.",
    "project_q.",
    "projector.",
    "classifier.",
    "layer_weights",
    "objective.",
    "tdnn.",
    "feature_extractor.mask_emb",
)
"""Tensors of training and of heads: known, and of no effect on hidden states."""


def waveform_layout(config: WaveformConfig) -> Layout:
    """What the hidden states depend on, whatever the language."""
    adapters = tuple(
        f"encoder.layers.{layer}.adapter_layer." for layer in range(config.num_hidden_layers)
    )
    return Layout(
        shapes=_body_shapes(config),
        prefix=WAVEFORM_PREFIX,
        ignored=_IGNORED + (adapters if config.adapter_attn_dim else ()),
        aliases=_OLDER,
    )


def language_layout(config: WaveformConfig) -> Layout:
    """The adapters of one language: one in each layer."""
    assert config.adapter_attn_dim is not None, "this body has no adapters"
    hidden, inner = config.hidden_size, config.adapter_attn_dim
    shapes: dict[str, Shape] = {}
    for layer in range(config.num_hidden_layers):
        name = f"encoder.layers.{layer}.adapter_layer"
        shapes |= norm_shapes(f"{name}.norm", hidden)
        shapes |= linear_shapes(f"{name}.linear_1", inner, hidden)
        shapes |= linear_shapes(f"{name}.linear_2", hidden, inner)
    return Layout(shapes, WAVEFORM_PREFIX, ignored=("",))


def _body_shapes(config: WaveformConfig) -> dict[str, Shape]:
    hidden, width = config.hidden_size, config.num_conv_pos_embeddings
    shapes = _convolution_shapes(config)
    shapes |= norm_shapes("feature_projection.layer_norm", config.conv_dim[-1])
    shapes |= linear_shapes("feature_projection.projection", hidden, config.conv_dim[-1])
    shapes |= {
        MAGNITUDE: (1, 1, width),
        DIRECTION: (hidden, hidden // config.num_conv_pos_embedding_groups, width),
        "encoder.pos_conv_embed.conv.bias": (hidden,),
    }
    shapes |= norm_shapes("encoder.layer_norm", hidden)
    for layer in range(config.num_hidden_layers):
        shapes |= {
            f"encoder.layers.{layer}.{name}": shape for name, shape in _block_shapes(config).items()
        }
    return shapes


def _convolution_shapes(config: WaveformConfig) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {}
    inputs = 1
    for place, (outputs, width) in enumerate(zip(config.conv_dim, config.conv_kernel, strict=True)):
        name = f"feature_extractor.conv_layers.{place}"
        shapes[f"{name}.conv.weight"] = (outputs, inputs, width)
        if config.conv_bias:
            shapes[f"{name}.conv.bias"] = (outputs,)
        if config.feat_extract_norm == "layer" or not place:
            shapes |= norm_shapes(f"{name}.layer_norm", outputs)
        inputs = outputs
    return shapes


def _block_shapes(config: WaveformConfig) -> dict[str, Shape]:
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, Shape] = {}
    for part in ("q", "k", "v", "out"):
        shapes |= linear_shapes(f"attention.{part}_proj", hidden, hidden)
    shapes |= norm_shapes("layer_norm", hidden)
    shapes |= linear_shapes("feed_forward.intermediate_dense", inner, hidden)
    shapes |= linear_shapes("feed_forward.output_dense", hidden, inner)
    return shapes | norm_shapes("final_layer_norm", hidden)
