"""Verified files of a wav2vec 2.0 model, and of the languages that it is wanted for."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from embedsvc.encoder.checkpoints import locate
from embedsvc.encoder.config import read_object
from embedsvc.encoder.tensors import hashed, shapes_in, tensor_files
from embedsvc.encoder.waveform.config import WaveformConfig, read_waveform_config
from embedsvc.encoder.waveform.tensors import waveform_layout
from embedsvc.errors import FailedPrecondition, InvalidArgument, ModelNotFound

LANGUAGE = re.compile(r"[A-Za-z0-9][\w-]{0,63}", re.ASCII)
"""How languages are called, such as `eng` or `azj-script_latin`; no such name leaves a folder."""

MOST_LANGUAGES = 64
"""Of one model at once: each takes memory beside the body."""

_DEFAULT_LANGUAGE = "eng"
"""Whose adapters are among the weights of a model that does not say."""


@dataclass(frozen=True)
class WaveformCheckpoint:
    """A model that reads samples, whose config and tensor layout are known to be sound.

    `weights` is a SHA-256 over all that the hidden states depend on but the adapters of a
    language. `languages` are those to have adapters of, in order; none for a model without.
    """

    name: str
    directory: Path
    config: WaveformConfig
    weights: str
    files: tuple[str, ...]
    languages: tuple[str, ...] = ()

    def language_files(self, language: str) -> tuple[str, ...]:
        """Names of the files that hold the adapters and the head of a language."""
        own = adapter_file(language)
        return (own,) if (self.directory / own).is_file() else self.files


def resolve_waveform(name: str, languages: Sequence[str] = ()) -> WaveformCheckpoint:
    """Checkpoint of a wav2vec 2.0 model: a directory, or `owner/name[@revision]` on the Hub.

    `languages` of a model with adapters are, by default, all that its directory has. Raises
    `ModelNotFound`, `InvalidArgument` or `FailedPrecondition` as `resolve` does.
    """
    for language in languages:
        if not LANGUAGE.fullmatch(language):
            raise InvalidArgument(
                f"`languages` must be names such as eng or azj-script_latin, "
                f"but has {language[:80]!r}",
                field="languages",
            )
    return verified_waveform(*locate(name, map(adapter_file, languages)), languages)


def has_languages(name: str) -> bool:
    """Whether the model of that name has adapters of languages; raises as `resolve_waveform` does.

    Nothing else is asked of it.
    """
    _, directory = locate(name)
    path = directory / "config.json"
    return bool(path.is_file() and read_object(path).get("adapter_attn_dim"))


def verified_waveform(
    name: str, directory: Path, languages: Sequence[str] = ()
) -> WaveformCheckpoint:
    """Checkpoint of a wav2vec 2.0 model in `directory`; raises as `resolve_waveform` does."""
    config = read_waveform_config(directory)
    files = tensor_files(directory)
    chosen: tuple[str, ...] = ()
    if config.adapter_attn_dim:
        chosen = _chosen(directory, languages, _languages(directory, files))
    elif languages:
        raise InvalidArgument(
            f"`languages` must be empty for a model without adapters, but has {languages[0]!r}",
            field="languages",
        )
    weights = hashed(directory, files, waveform_layout(config), asdict(config))
    return WaveformCheckpoint(name, directory, config, weights, files, chosen)


def adapter_file(language: str) -> str:
    """Name of the file with what is of one language."""
    return f"adapter.{language}.safetensors"


def built_in(directory: Path) -> str:
    """Language of the adapters among the weights themselves."""
    path = directory / "tokenizer_config.json"
    named = read_object(path).get("target_lang") if path.is_file() else None
    sound = isinstance(named, str) and LANGUAGE.fullmatch(named)
    return named if sound and isinstance(named, str) else _DEFAULT_LANGUAGE


def _languages(directory: Path, files: tuple[str, ...]) -> list[str]:
    """Every language that a directory has adapters of."""
    names = (path.name for path in directory.glob(adapter_file("*")))
    found = {name.removeprefix("adapter.").removesuffix(".safetensors") for name in names}
    if any(".adapter_layer." in name for name in shapes_in(directory, files)):
        found.add(built_in(directory))
    return sorted(name for name in found if LANGUAGE.fullmatch(name))


def _chosen(directory: Path, wanted: Sequence[str], there: list[str]) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(wanted or there))
    for language in chosen:
        if language not in there:
            raise _absent(directory, language, there)
    if len(chosen) > MOST_LANGUAGES:
        raise InvalidArgument(
            f"`languages` must be at most {MOST_LANGUAGES}, but are {len(chosen)}: name those "
            "that are wanted",
            field="languages",
        )
    if not chosen:
        raise FailedPrecondition(
            f"`model` must have the adapters of a language, in {adapter_file('LANGUAGE')} or "
            "among its weights, but has none",
            field="model",
        )
    return chosen


def _absent(directory: Path, language: str, there: list[str]) -> Exception:
    pickled = f"adapter.{language}.bin"
    if (directory / pickled).is_file():
        return FailedPrecondition(
            f"`model` must have {adapter_file(language)}, but has only {pickled}, a pickle that "
            "could run code; convert it first where you trust it: "
            "`safetensors.torch.save_file(torch.load(file, weights_only=True), other_file)`",
            field="model",
        )
    return ModelNotFound(
        f"`languages` must be of {', '.join(there[:20]) or 'none'}, which the model has, "
        f"but has {language}",
        field="languages",
    )
