"""What a training run does, read from a TOML file: model, data, objectives, schedule."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from embedsvc.encoder.config import INPUT_SIZE, EncoderConfig
from embedsvc.errors import InvalidArgument
from embedsvc.training.augmentation import Chances
from embedsvc.training.batches import Mix
from embedsvc.training.objectives import Layers, Weights

OPTIMIZERS = ("muon", "adamw")
PROJECTIONS = ("whitened", "content")

Section = TypeVar("Section")


@dataclass(frozen=True)
class Shape:
    """Sizes of the encoder."""

    hidden_size: int = 192
    layers: int = 6
    heads: int = 4
    intermediate_size: int = 768
    convolution: int = 31
    left: int = 64
    right: int = 8

    def config(self) -> EncoderConfig:
        """As the checkpoint will say it."""
        return EncoderConfig(
            hidden_size=self.hidden_size,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=self.intermediate_size,
            feature_projection_input_dim=INPUT_SIZE,
            conv_depthwise_kernel_size=self.convolution,
            left_max_position_embeddings=self.left,
            right_max_position_embeddings=self.right,
            rotary_embedding_base=10_000,
            layer_norm_eps=1e-5,
            hidden_act="swish",
            position_embeddings_type="relative_key",
        )


@dataclass(frozen=True)
class Schedule:
    """How the weights move. `rate` is AdamW's, `matrix_rate` Muon's.

    Up to the share `phones_only` of the steps, nothing but the phones is learnt; the other
    objectives then come in over as many steps.
    """

    steps: int = 6000
    warmup: int = 200
    cooldown: float = 1.0
    phones_only: float = 0.0
    optimizer: str = "muon"
    rate: float = 1e-3
    matrix_rate: float = 0.02
    decay: float = 0.02
    largest_gradient: float = 1.0
    seed: int = 1
    save_every: int = 250
    validate_every: int = 250


@dataclass(frozen=True)
class Hiding:
    """Frames that the encoder must do without: a share of them in a share of the batches."""

    share: float = 0.2
    longest: int = 12


@dataclass(frozen=True)
class Output:
    """What vectors a model gives by default, and what their projection is fitted on."""

    layer: int = 4
    projection: str = "content"
    dim: int = 256
    clips: int = 4_000


@dataclass(frozen=True)
class Recipe:
    """All that a model depends on but the corpus."""

    model: Shape = field(default_factory=Shape)
    layers: Layers = field(default_factory=Layers)
    mix: Mix = field(default_factory=Mix)
    augmentation: Chances = field(default_factory=Chances)
    hiding: Hiding = field(default_factory=Hiding)
    objectives: Weights = field(default_factory=Weights)
    schedule: Schedule = field(default_factory=Schedule)
    output: Output = field(default_factory=Output)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Sections by name, as a TOML file has them."""
        return asdict(self)


def shipped(name: str) -> Path:
    """Path of a recipe that comes with the package."""
    return Path(str(resources.files(__package__))) / f"{name}.toml"


def read_recipe(path: Path, changes: Mapping[str, str] | None = None) -> Recipe:
    """Recipe in a TOML file, with some values changed: `{"schedule.steps": "100"}`.

    Raises `InvalidArgument` for a section, name or value that a recipe does not have.
    """
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InvalidArgument(f"`--config` must be a readable TOML file: {path}") from error
    for name, value in (changes or {}).items():
        section, _, key = name.partition(".")
        try:
            parsed = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            parsed = value
        values.setdefault(section, {})[key] = parsed
    known = {each.name: each.default_factory for each in fields(Recipe)}
    if extra := values.keys() - known.keys():
        raise InvalidArgument(f"`--config` must have known sections, but has {_listed(extra)}")
    sections = {name: _section(known[name], name, part) for name, part in values.items()}
    recipe = Recipe(**sections)
    _check(recipe)
    return recipe


def _section(kind: Any, name: str, values: Mapping[str, Any]) -> Any:
    usual = asdict(kind())
    if extra := values.keys() - usual.keys():
        raise InvalidArgument(f"`{name}` must have known names, but has {_listed(extra)}")
    for key, value in values.items():
        wanted = type(usual[key])
        if wanted is float and type(value) is int:
            continue
        if type(value) is not wanted:
            raise InvalidArgument(
                f"`{name}.{key}` must be of type {wanted.__name__}, but is {value!r}"
            )
    return kind(**values)


def _check(recipe: Recipe) -> None:
    shape = recipe.model
    if shape.hidden_size % shape.heads:
        raise InvalidArgument(
            f"`model.hidden_size` must be a multiple of {shape.heads} heads, "
            f"but is {shape.hidden_size}"
        )
    layers = {f"layers.{name}": layer for name, layer in asdict(recipe.layers).items()}
    for name, layer in (layers | {"output.layer": recipe.output.layer}).items():
        if not 1 <= layer <= shape.layers:
            raise InvalidArgument(f"`{name}` must be from 1 to {shape.layers}, but is {layer}")
    for name, value, choices in (
        ("schedule.optimizer", recipe.schedule.optimizer, OPTIMIZERS),
        ("output.projection", recipe.output.projection, PROJECTIONS),
    ):
        if value not in choices:
            raise InvalidArgument(f"`{name}` must be one of {', '.join(choices)}, but is {value}")
    if not 2 <= recipe.output.dim <= 2 * shape.hidden_size:
        raise InvalidArgument(
            f"`output.dim` must be from 2 to {2 * shape.hidden_size}, but is {recipe.output.dim}"
        )
    if recipe.schedule.steps < 1:
        raise InvalidArgument(f"`schedule.steps` must be positive, but is {recipe.schedule.steps}")


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))
