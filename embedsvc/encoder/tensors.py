"""The tensors of a checkpoint: which there must be, and reading them without running anything."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from embedsvc.encoder.config import EncoderConfig, read_object
from embedsvc.errors import FailedPrecondition

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
PREFIX = "wav2vec2_bert."

_IGNORED = (
    "masked_spec_embed",
    "adapter.",
    "intermediate_ffn.",
    "lm_head.",
    "projector.",
    "classifier.",
    "layer_weights",
    "objective.",
    "tdnn.",
    "feature_extractor.",
)
"""Tensors of training and of heads: known, and of no effect on hidden states."""

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_LISTED = 5

CONVERT = (
    "a pickle that could run code; convert it first where you trust it: "
    "`AutoModelForCTC.from_pretrained(directory).save_pretrained(directory)` of transformers "
    "writes safetensors (`AutoModel` for a model without a head)"
)
"""What to do about weights that only a pickle holds."""

Shape = tuple[int, ...]
Read = Callable[[str], Tensor]


@dataclass(frozen=True)
class Layout:
    """Which tensors a part of a model is made of.

    `shapes` are by base name. In the files those not in `bare` may all have `prefix` before them,
    and a tensor may go by its name in `aliases` instead. Tensors whose base name starts with one
    of `ignored` may be there too; an empty text ignores all others.
    """

    shapes: Mapping[str, Shape]
    prefix: str
    ignored: tuple[str, ...]
    bare: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def names(self, found: Mapping[str, object]) -> dict[str, str]:
        """Name of each tensor in files that hold `found`."""
        prefix = self.prefix if any(name.startswith(self.prefix) for name in found) else ""
        names = {}
        for base in self.shapes:
            before = "" if base in self.bare else prefix
            alias = before + self.aliases.get(base, base)
            names[base] = alias if before + base not in found and alias in found else before + base
        return names


def tensor_files(directory: Path) -> tuple[str, ...]:
    """Names of the safetensors files of a checkpoint, whole or in shards."""
    if (directory / SINGLE).is_file():
        return (SINGLE,)
    if (directory / INDEX).is_file():
        return _shards(directory)
    pickled = sorted(path.name for path in directory.glob("*.bin"))
    if pickled:
        raise _fault(f"has only {pickled[0]}, {CONVERT}")
    raise _fault("has no such file")


def expected_shapes(config: EncoderConfig) -> dict[str, Shape]:
    """Name and shape of every tensor that the hidden states depend on."""
    hidden, inputs = config.hidden_size, config.feature_projection_input_dim
    shapes = {f"feature_projection.{k}": v for k, v in norm_shapes("layer_norm", inputs).items()}
    shapes |= {
        f"feature_projection.{k}": v for k, v in linear_shapes("projection", hidden, inputs).items()
    }
    block = _block_shapes(config)
    for layer in range(config.num_hidden_layers):
        shapes |= {f"encoder.layers.{layer}.{name}": shape for name, shape in block.items()}
    return shapes


def body_layout(config: EncoderConfig) -> Layout:
    """What the hidden states depend on; heads and what serves training may lie beside it."""
    return Layout(expected_shapes(config), PREFIX, _IGNORED)


def fingerprint(directory: Path, files: tuple[str, ...], config: EncoderConfig) -> str:
    """SHA-256 over the config and the name, type, shape and bytes of each tensor we use.

    How tensors are spread over files, the prefix of their names, heads and file metadata do not
    count. The config does, since the same tensors mean other states under another config.
    """
    return hashed(directory, files, body_layout(config), asdict(config))


def hashed(
    directory: Path, files: tuple[str, ...], layout: Layout, config: Mapping[str, object]
) -> str:
    """SHA-256 over `config` and the tensors of `layout`."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    with ExitStack() as stack:
        readers = _open(stack, directory, files, layout)
        for name in sorted(readers):
            tensor = readers[name](name)
            digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_tensors(
    directory: Path, files: tuple[str, ...], config: EncoderConfig
) -> dict[str, Tensor]:
    """Every tensor we use, by name, as float32 in memory of our own."""
    return read_layout(directory, files, body_layout(config))


def read_layout(directory: Path, files: tuple[str, ...], layout: Layout) -> dict[str, Tensor]:
    """The tensors of `layout`, by base name, as float32 in memory of our own."""
    tensors = {}
    with ExitStack() as stack:
        for name, read in _open(stack, directory, files, layout).items():
            tensor = read(name).to(torch.float32, copy=True)
            # NaN and infinity both survive into the extremes, and no mask is allocated.
            if not all(torch.isfinite(extreme) for extreme in torch.aminmax(tensor)):
                raise _fault(f"has NaN or infinity in {name}")
            tensors[name] = tensor
    return tensors


def shapes_in(directory: Path, files: tuple[str, ...]) -> dict[str, Shape]:
    """Name and shape of every tensor in the files, none of which is read."""
    with ExitStack() as stack:
        found, _ = _found(stack, directory, files)
    return {name: shape for name, (shape, _) in found.items()}


def _open(
    stack: ExitStack, directory: Path, files: tuple[str, ...], layout: Layout
) -> dict[str, Read]:
    """How to read each tensor we use; names, shapes and types are checked first."""
    found, readers = _found(stack, directory, files)
    names = _base_names(found, layout)
    return {base: _renamed(readers[name], name) for base, name in names.items()}


def _found(
    stack: ExitStack, directory: Path, files: tuple[str, ...]
) -> tuple[dict[str, tuple[Shape, str]], dict[str, Read]]:
    """Shape and type of each tensor in the files, and how to read it."""
    readers: dict[str, Read] = {}
    found: dict[str, tuple[Shape, str]] = {}
    for file in files:
        try:
            reader = stack.enter_context(safe_open(directory / file, "pt"))
        except (OSError, SafetensorError) as error:
            raise _fault(f"has a {file} that is truncated or damaged") from error
        for name in reader.keys():  # noqa: SIM118  a reader is not a mapping
            if name in found:
                raise _fault(f"has {name} in two files")
            part = reader.get_slice(name)
            found[name] = (tuple(part.get_shape()), part.get_dtype())
            readers[name] = reader.get_tensor
    return found, readers


def _renamed(read: Read, name: str) -> Read:
    return lambda _: read(name)


def _base_names(found: Mapping[str, tuple[Shape, str]], layout: Layout) -> dict[str, str]:
    """Name in the files of each tensor we use; raises on any other difference."""
    names = layout.names(found)
    missing = [name for name in names.values() if name not in found]
    known = set(names.values())
    unknown = [
        name
        for name in found
        if name not in known and not name.removeprefix(layout.prefix).startswith(layout.ignored)
    ]
    faults = [*_listed("lacks", missing), *_listed("has unknown", unknown)]
    faults += _listed("has wrong shapes:", list(_shape_faults(found, names, layout.shapes)))
    faults += _listed("has types other than F32, F16 and BF16:", list(_type_faults(found, known)))
    if faults:
        raise _fault("; ".join(faults))
    return names


def _shape_faults(
    found: Mapping[str, tuple[Shape, str]], names: Mapping[str, str], wanted: Mapping[str, Shape]
) -> Iterator[str]:
    for base, name in names.items():
        if name in found and found[name][0] != wanted[base]:
            yield f"{name} is {found[name][0]} in place of {wanted[base]}"


def _type_faults(found: Mapping[str, tuple[Shape, str]], known: set[str]) -> Iterator[str]:
    for name, (_, dtype) in found.items():
        if name in known and dtype not in _DTYPES:
            yield f"{name} is {dtype}"


def _listed(verb: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return [f"{verb} {', '.join(sorted(names)[:_LISTED])}{more}"]


def _shards(directory: Path) -> tuple[str, ...]:
    mapping = read_object(directory / INDEX).get("weight_map")
    if not isinstance(mapping, dict) or not mapping:
        raise _fault(f"has no `weight_map` in {INDEX}")
    files = sorted({str(file) for file in mapping.values()})
    for file in files:
        if Path(file).name != file or not file.endswith(".safetensors"):
            raise _fault(f"names a shard that is not a plain safetensors file: {file!r}")
        if not (directory / file).is_file():
            raise _fault(f"lacks the shard {file}")
    return tuple(files)


def _block_shapes(config: EncoderConfig) -> dict[str, Shape]:
    hidden, inner = config.hidden_size, config.intermediate_size
    shapes: dict[str, Shape] = {}
    for half in ("ffn1", "ffn2"):
        shapes |= norm_shapes(f"{half}_layer_norm", hidden)
        shapes |= linear_shapes(f"{half}.intermediate_dense", inner, hidden)
        shapes |= linear_shapes(f"{half}.output_dense", hidden, inner)
    shapes |= norm_shapes("self_attn_layer_norm", hidden)
    for part in ("q", "k", "v", "out"):
        shapes |= linear_shapes(f"self_attn.linear_{part}", hidden, hidden)
    shapes |= _position_shapes(config)
    shapes |= norm_shapes("conv_module.layer_norm", hidden)
    shapes |= {
        "conv_module.pointwise_conv1.weight": (2 * hidden, hidden, 1),
        "conv_module.depthwise_conv.weight": (hidden, 1, config.conv_depthwise_kernel_size),
        "conv_module.pointwise_conv2.weight": (hidden, hidden, 1),
    }
    shapes |= norm_shapes("conv_module.depthwise_layer_norm", hidden)
    return shapes | norm_shapes("final_layer_norm", hidden)


def _position_shapes(config: EncoderConfig) -> dict[str, Shape]:
    if config.position_embeddings_type == "relative_key":
        return {"self_attn.distance_embedding.weight": (config.positions, config.head_size)}
    if config.position_embeddings_type == "relative":
        bias = (config.num_attention_heads, config.head_size)
        return {
            "self_attn.linear_pos.weight": (config.hidden_size, config.hidden_size),
            "self_attn.pos_bias_u": bias,
            "self_attn.pos_bias_v": bias,
        }
    return {}


def norm_shapes(name: str, size: int) -> dict[str, Shape]:
    """Tensors of a normalization."""
    return {f"{name}.weight": (size,), f"{name}.bias": (size,)}


def linear_shapes(name: str, outputs: int, inputs: int) -> dict[str, Shape]:
    """Tensors of a map with a bias."""
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _fault(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"`model` must have its weights in {SINGLE} or in shards, but {what}", field="model"
    )
