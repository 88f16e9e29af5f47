"""From the name of a model to verified files."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from embedsvc.ctc.kenlm import installed
from embedsvc.encoder.config import EncoderConfig, read_config
from embedsvc.encoder.tensors import fingerprint, tensor_files
from embedsvc.errors import FailedPrecondition, InvalidArgument, ModelNotFound

HUB_NAME = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95})(@(?P<revision>[\w.-]{1,100}))?",
    re.ASCII,
)
HUB_FILES = (
    "config.json",
    "*.safetensors",
    "*.safetensors.index.json",
    "preprocessor_config.json",
    "processor_config.json",
    "vocab.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
    "README.md",
    "embedsvc.json",
    "heads.json",
    "calibration.json",
    "probes/*/probe.json",
    "probes/*/probe.safetensors",
)

LANGUAGE_MODEL_FILES = ("alphabet.json", "language_model/*")
"""What a head on the Hub may know of words; it can be large, and is of use with the extra alone."""

LANGUAGE_FILES = "adapter.*"
"""What a model on the Hub may have for a thousand languages, of which only some are wanted."""

EXPORT_FILE = "onnx.json"
"""What is in the directory of an exported model, and in no other."""


@dataclass(frozen=True)
class Checkpoint:
    """A model whose config and tensor layout are known to be sound.

    `name` is the bundled or Hub name, or the last part of the directory's path. `weights` is a
    SHA-256 over everything that the hidden states depend on, `files` the safetensors files.
    """

    name: str
    directory: Path
    config: EncoderConfig
    weights: str
    files: tuple[str, ...]


def bundled() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.name for path in _bundle().iterdir() if (path / "config.json").is_file())


def resolve(name: str) -> Checkpoint:
    """Checkpoint called `name`: bundled, a directory, or `owner/name[@revision]` on the Hub.

    Raises `ModelNotFound` if there is none, `InvalidArgument` for a name or a model of another
    kind, and `FailedPrecondition` when its files can not be used; the message says which.
    """
    return verified(*locate(name))


def locate(name: str, more: Iterable[str] = ()) -> tuple[str, Path]:
    """Short name and directory of the model called `name`, which may be of any kind.

    `more` are names of files that are also wanted of a model on the Hub. Raises `ModelNotFound`
    if there is no such model, and `InvalidArgument` for what can not be a name.
    """
    if name in bundled():
        return name, _bundle() / name
    path = _existing(name)
    if path and path.is_dir():
        return path.name, path
    if path:
        raise InvalidArgument(
            f"`model` must be a directory with a checkpoint, but is the file {name}", field="model"
        )
    found = HUB_NAME.fullmatch(name)
    if found and ".." not in name:
        return found["name"], _download(found["name"], found["revision"], more)
    if name.startswith(("/", "./", "../", "~")):
        raise ModelNotFound(f"`model` must exist, but there is no directory {name}", field="model")
    raise InvalidArgument(
        f"`model` must be one of {_listed(bundled())}, a directory, or `owner/name` on the Hub, "
        f"but is {name!r}",
        field="model",
    )


def _existing(name: str) -> Path | None:
    try:
        return Path(name).expanduser().resolve(strict=True) if name else None
    except (OSError, RuntimeError, ValueError):
        # Not there, or no path at all: too long, with a zero byte, or of an unknown user.
        return None


def verified(name: str, directory: Path) -> Checkpoint:
    """Checkpoint of a w2v-BERT model in `directory`; raises as `resolve` does."""
    if (directory / EXPORT_FILE).is_file():
        raise FailedPrecondition(
            f"`model` {name} is an exported one, which only `--runtime onnxruntime` can serve",
            field="model",
        )
    config = read_config(directory)
    files = tensor_files(directory)
    return Checkpoint(name, directory, config, fingerprint(directory, files, config), files)


def _download(name: str, revision: str | None, more: Iterable[str]) -> Path:
    # Imported here: only Hub names need it, and it is slow to import.
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:
        path = snapshot_download(
            name,
            revision=revision,
            allow_patterns=[*HUB_FILES, *(LANGUAGE_MODEL_FILES if installed() else ())],
            ignore_patterns=[LANGUAGE_FILES],
        )
        if wanted := list(more):
            path = snapshot_download(name, revision=revision, allow_patterns=wanted)
    except (OSError, ValueError) as error:
        raise ModelNotFound(
            f"`model` {name} must be on the Hub and within reach, or already downloaded; "
            "without a network, give the directory of a checkpoint instead",
            field="model",
        ) from error
    return Path(path)


def _bundle() -> Path:
    return Path(str(resources.files("embedsvc.models")))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
