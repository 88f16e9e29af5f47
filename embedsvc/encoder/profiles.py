"""Named choices of layer, pooling and projection, for what somebody wants to do with a vector."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from embedsvc.encoder.config import EncoderConfig, read_object
from embedsvc.encoder.projections import DEFAULTS_FILE, PROJECTION_NAME, Projections
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.types import OutputSpec, Pooling

POOLED = frozenset({Pooling.MEAN, Pooling.MEAN_STD, Pooling.MAX})


class Basis(StrEnum):
    """Where a profile comes from."""

    MEASURED = "measured"
    LITERATURE = "literature"


@dataclass(frozen=True)
class Profile:
    """A choice with a name; `about` says in a sentence what it is for."""

    name: str
    layer: int
    pooling: Pooling
    projection: str = ""
    about: str = ""
    basis: Basis = Basis.MEASURED


W2V_BERT = (
    Profile(
        "semantic",
        14,
        Pooling.MEAN,
        about="what is said: the layers that SENSE weighs most for meaning",
        basis=Basis.LITERATURE,
    ),
    Profile(
        "phonetic",
        17,
        Pooling.MEAN,
        about="how it sounds: the layer that speech synthesis takes units from",
        basis=Basis.LITERATURE,
    ),
    Profile(
        "speaker",
        23,
        Pooling.MEAN_STD,
        about="who speaks: the layers that SENSE weighs most for speakers",
        basis=Basis.LITERATURE,
    ),
    Profile(
        "language",
        17,
        Pooling.MEAN_STD,
        about="which language is spoken: an upper middle layer, to put a probe on",
        basis=Basis.LITERATURE,
    ),
)
"""For encoders of the size of w2v-BERT 2.0 that bring no choices of their own.

Meaning in layers 13 and 14 and speakers in 23 and 24: learned layer weights of SENSE-2ATTR. Layer
17: MaskGCT and IndexTTS2. Language: middle to upper layers of encoders trained without labels
(Pasad, Chou and Livescu 2021). None of them was measured here.
"""

_W2V_BERT_SIZE = (24, 1024)


def read_profiles(
    directory: Path, config: EncoderConfig, projections: Projections
) -> Mapping[str, Profile]:
    """Profiles of a checkpoint, by name: its own, or those known for encoders of its size.

    Raises `FailedPrecondition` for one that the checkpoint can not serve.
    """
    path = directory / DEFAULTS_FILE
    found = read_object(path) if path.exists() else {}
    if "profiles" in found:
        own = dict(_own(found["profiles"]))
        for profile in own.values():
            _check(profile, config.num_hidden_layers, projections)
        return own
    if (config.num_hidden_layers, config.hidden_size) == _W2V_BERT_SIZE:
        return {profile.name: profile for profile in W2V_BERT}
    return {}


def chosen(spec: OutputSpec, profiles: Mapping[str, Profile]) -> OutputSpec:
    """The same with the choices of its profile in place of the name, if it has one.

    Raises `InvalidArgument` for a profile there is not, and for one beside choices of its own.
    """
    if not spec.profile:
        return spec
    for name in ("layer", "pooling", "projection"):
        if (value := getattr(spec, name)) is not None:
            raise InvalidArgument(
                f"`profile` stands for a layer, pooling and projection, so `{name}` must be absent "
                f"beside profile {spec.profile!r}, but is {str(value)!r}",
                field="profile",
            )
    profile = profiles.get(spec.profile)
    if profile is None:
        there = ", ".join(f"`{name}`" for name in sorted(profiles)) or "none"
        raise InvalidArgument(
            f"`profile` must be one the model has (there are: {there}), but is {spec.profile!r}",
            field="profile",
        )
    return replace(
        spec,
        profile="",
        layer=profile.layer,
        pooling=profile.pooling,
        projection=profile.projection,
    )


def _own(given: object) -> Iterator[tuple[str, Profile]]:
    if not isinstance(given, dict):
        raise _fault(f"profiles that are {type(given).__name__} instead of an object")
    for name, values in given.items():
        if not PROJECTION_NAME.fullmatch(name) or not isinstance(values, dict):
            raise _fault(f"a profile {name!r} that is not a name and an object")
        yield name, _profile(name, values)


def _profile(name: str, values: Mapping[str, object]) -> Profile:
    layer, pooling = values.get("layer"), values.get("pooling")
    projection, about = values.get("projection", ""), values.get("about", "")
    basis = values.get("basis", Basis.MEASURED)
    if (
        not isinstance(layer, int)
        or isinstance(layer, bool)
        or pooling not in POOLED
        or not isinstance(projection, str)
        or not isinstance(about, str)
        or basis not in set(Basis)
    ):
        raise _fault(f"a profile {name!r} with {dict(values)}")
    return Profile(name, layer, Pooling(str(pooling)), projection, about, Basis(str(basis)))


def _check(profile: Profile, layers: int, projections: Projections) -> None:
    fitting = not profile.projection or projections.has(
        profile.projection, profile.layer, profile.pooling
    )
    if not 0 <= profile.layer <= layers or not fitting:
        raise _fault(
            f"a profile {profile.name!r} of layer {profile.layer}, {profile.pooling} pooling and "
            f"projection {profile.projection!r}"
        )


def _fault(what: str) -> FailedPrecondition:
    return FailedPrecondition(
        f"`model` must have profiles it can serve in {DEFAULTS_FILE}, but has {what}", field="model"
    )
