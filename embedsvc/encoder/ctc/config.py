"""The shape of a CTC head, read from the config of its checkpoint."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from embedsvc.encoder.config import ACTIVATIONS, whole

_ADAPTER_SIZES = {
    "num_adapter_layers": (1, 64),
    "adapter_kernel_size": (1, 63),
    "adapter_stride": (1, 64),
}
_ADAPTER_DEFAULTS: dict[str, Any] = {
    "adapter_kernel_size": 3,
    "adapter_stride": 2,
    "adapter_act": "relu",
}
"""What an absent key means, by the published defaults of the architecture."""

MOST_LABELS = 65_536
_MOST_SIZE = 16_384


@dataclass(frozen=True)
class AdapterConfig:
    """Convolutions with a stride between the body and the head; `size` is what they give.

    `before` says whether a feed-forward part of the body's size comes first.
    """

    layers: int
    kernel: int
    stride: int
    size: int
    activation: str
    before: bool


@dataclass(frozen=True)
class HeadConfig:
    """How many labels there are, which is the blank, and how wide the states are that it reads."""

    labels: int
    blank: int
    inputs: int
    adapter: AdapterConfig | None


def head_config(values: Mapping[str, Any], layers: int) -> HeadConfig:
    """Config of the head from a config without `head_faults`; `layers` as there."""
    values = _with_defaults(values, layers)
    hidden = values["hidden_size"]
    size = values.get("output_hidden_size") or hidden
    adapter = AdapterConfig(
        layers=values["num_adapter_layers"],
        kernel=values["adapter_kernel_size"],
        stride=values["adapter_stride"],
        size=size,
        activation=values["adapter_act"],
        before=bool(values.get("use_intermediate_ffn_before_adapter")),
    )
    adapted = bool(values.get("add_adapter"))
    return HeadConfig(
        labels=values["vocab_size"],
        blank=blank_of(values),
        inputs=size if adapted else hidden,
        adapter=adapter if adapted else None,
    )


def blank_of(values: Mapping[str, Any]) -> int:
    """The blank is the padding of labels, which is not always 0; 0 is what absence means."""
    blank: int = values.get("pad_token_id", 0)
    return blank


def head_faults(values: Mapping[str, Any], layers: int) -> Iterator[str]:
    """What is wrong with the head in a config; `layers` is how many an adapter has by default."""
    labels: Any = values.get("vocab_size")
    blank = values.get("pad_token_id", 0)
    if not whole(labels, 2, MOST_LABELS):
        yield f"`vocab_size` must be a whole number from 2 to {MOST_LABELS}, but is {labels!r}"
    elif not whole(blank, 0, labels - 1):
        yield (
            f"`pad_token_id`, the blank, must be a whole number from 0 to {labels - 1}, "
            f"but is {blank!r}"
        )
    for name in ("add_adapter", "use_intermediate_ffn_before_adapter"):
        if not isinstance(values.get(name), bool | None):
            yield f"`{name}` must be true or false, but is {values[name]!r}"
    if values.get("add_adapter") is True:
        yield from _adapter_faults(_with_defaults(values, layers))


def _with_defaults(values: Mapping[str, Any], layers: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {**_ADAPTER_DEFAULTS, "num_adapter_layers": layers}
    return defaults | dict(values)


def _adapter_faults(values: Mapping[str, Any]) -> Iterator[str]:
    sound = True
    for name, (least, most) in _ADAPTER_SIZES.items():
        if not whole(values[name], least, most):
            sound = False
            yield (
                f"`{name}` must be a whole number from {least} to {most}, but is {values[name]!r}"
            )
    # A wider stride would leave frames that nothing reads.
    if sound and values["adapter_stride"] > values["adapter_kernel_size"]:
        yield (
            f"`adapter_stride` must be at most the kernel of {values['adapter_kernel_size']}, "
            f"but is {values['adapter_stride']}"
        )
    if values["adapter_act"] not in ACTIVATIONS:
        yield (
            f"`adapter_act` must be one of {', '.join(ACTIVATIONS)}, "
            f"but is {values['adapter_act']!r}"
        )
    size, heads = values.get("output_hidden_size"), values.get("num_attention_heads")
    if size is not None and not whole(size, 1, _MOST_SIZE):
        yield f"`output_hidden_size` must be a whole number to {_MOST_SIZE}, but is {size!r}"
    elif size is not None and whole(heads, 1, _MOST_SIZE) and size % heads:
        yield f"`output_hidden_size` must be a multiple of {heads} heads, but is {size}"
