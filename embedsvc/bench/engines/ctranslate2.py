"""CTranslate2, which runs encoders of the size of w2v-BERT 2.0 and no other.

It (4.8) insists on an adapter behind the encoder, and leaves the output of the adapter's
feed-forward out of its sum, so that whole models differ from transformers. Its encoder alone does
not: an adapter is put behind it here that lets the states through, every second one and
normalized, with inner sizes as small as it takes them.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from embedsvc.bench.engines import stock
from embedsvc.bench.engines.engine import Engine, Job, Shows, one_by_one
from embedsvc.errors import FailedPrecondition
from embedsvc.types import Floats

_HEADS, _SIZE, _KERNEL = 16, 1024, 31
_INNER = 16
_OPEN = 30.0
"""What a gate is given to be open: its sigmoid is 1 in float32."""

_COMPUTE = {"fp32": "float32", "int8": "int8_float32"}


def engines(job: Job) -> list[Engine]:
    """One utterance at a time, since it takes no mask."""
    import ctranslate2  # noqa: PLC0415  # where it is installed

    model = ctranslate2.models.Wav2Vec2Bert(
        str(_folder(job)), compute_type=_COMPUTE[job.precision], intra_threads=job.threads
    )

    def encode(features: Floats) -> Floats:
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(features[None]))
        states: Floats = np.array(model.encode(view, to_cpu=True))[0]
        return states

    name = f"ctranslate2 {job.precision}, one by one"
    return [Engine(name, one_by_one(encode), shows=Shows.HALF)]


def convert(job: Job) -> None:
    """Its form of the checkpoint, one for all precisions."""
    folder = _folder(job)
    if not folder.is_dir():
        spec = _spec(stock.load(job, "sdpa"))
        spec.register_vocabulary(["<s>", "</s>", "[UNK]"])
        spec.validate()
        spec.optimize()
        folder.mkdir()
        spec.save(str(folder))


def _folder(job: Job) -> Path:
    return job.scratch / "ctranslate2"


def _spec(model: Any) -> Any:
    from ctranslate2.converters.transformers import Wav2Vec2BertLoader  # noqa: PLC0415
    from ctranslate2.specs.wav2vec2bert_spec import Wav2Vec2BertSpec  # noqa: PLC0415

    config = model.config
    shape = (config.hidden_size, config.num_attention_heads, config.conv_depthwise_kernel_size)
    if shape != (_SIZE, _HEADS, _KERNEL) or config.position_embeddings_type != "relative_key":
        raise FailedPrecondition(
            f"`model` must have {_SIZE} dimensions, {_HEADS} heads, a kernel of {_KERNEL} and "
            f"relative keys for CTranslate2, but has {shape}, {config.position_embeddings_type}"
        )
    # The first two numbers change places once more inside.
    spec = Wav2Vec2BertSpec(1, config.num_hidden_layers, 3, return_hidden=True)
    loader = Wav2Vec2BertLoader()
    with torch.no_grad():
        loader.set_feature_projection(spec.encoder, model.feature_projection)
        loader.set_wav2vec2bert_encoder(
            spec.encoder.encoder_layers,
            model.encoder.layers,
            config.left_max_position_embeddings,
            config.right_max_position_embeddings,
        )
    _let_through(spec.encoder.adapter_layers[0])
    return spec


def _let_through(adapter: Any) -> None:
    """Every second state, normalized, on its straight path; nothing on the others."""
    _norm(adapter.adpt_residual_layer_norm, 1.0)
    _norm(adapter.adpt_attn_layer_norm, 1.0)
    _norm(adapter.adpt_ffn_layer_norm, 0.0)
    same = np.zeros((2 * _SIZE, _SIZE, 3), np.float32)
    same[np.arange(_SIZE), np.arange(_SIZE), 1] = 1.0
    gate = np.repeat(np.array([0.0, _OPEN], np.float32), _SIZE)
    _set(adapter.adpt_residual_conv, same, gate)
    _zero(adapter.adpt_attn_conv, 2 * _INNER, _SIZE, 3)
    _zero(adapter.adpt_attn_layer.linear[0], 3 * _INNER, _INNER)
    _zero(adapter.adpt_attn_layer.linear[1], _SIZE, _INNER)
    _zero(adapter.adpt_ffn.linear_0, _INNER, _SIZE)
    _zero(adapter.adpt_ffn.linear_1, _SIZE, _INNER)


def _norm(spec: Any, weight: float) -> None:
    spec.gamma = np.full(_SIZE, weight, np.float32)
    spec.beta = np.zeros(_SIZE, np.float32)


def _zero(spec: Any, outputs: int, *inputs: int) -> None:
    _set(spec, np.zeros((outputs, *inputs), np.float32), np.zeros(outputs, np.float32))


def _set(spec: Any, weight: Floats, bias: Floats) -> None:
    spec.weight = weight
    spec.bias = bias
