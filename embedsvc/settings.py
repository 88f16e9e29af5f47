"""How the service is set up: defaults, under a TOML file, under the environment, under the flags.

`EMBEDSVC_SERVER__ADDRESS=0.0.0.0:50051` sets `server.address`; `EMBEDSVC_CONFIG=FILE.toml` names
the file. This is the only module that reads the environment.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedsvc.errors import EmbedsvcError
from embedsvc.types import Precision, Runtime

PREFIX = "EMBEDSVC_"
MEBIBYTE = 1024 * 1024

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
HeadName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
ModelName = Annotated[str, Field(min_length=1)]


class SettingsError(EmbedsvcError):
    """The settings cannot be used; the message lists every fault."""

    reason = "SETTINGS_INVALID"


class _Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=()
    )


class ServerSettings(_Section):
    """The gRPC server."""

    address: str = "127.0.0.1:50051"
    """HOST:PORT to listen on; port 0 takes a free one. `unix:PATH` for a socket file."""

    max_request_bytes: Count = 32 * MEBIBYTE
    """One message to the server: 16 minutes of 16-bit PCM at 16 kHz."""

    max_response_bytes: Count = 64 * MEBIBYTE
    """One message from the server: 5 minutes of float32 frames of 1024 dimensions."""

    drain_seconds: Positive = 30.0
    """How long calls may finish after the first signal to stop."""

    stream_idle_seconds: Positive = 300.0
    """How long a stream of a caller may send nothing before the call is ended."""

    max_concurrent_calls: Count = 1000
    """Calls in progress before further ones are refused."""

    max_operations: Count = 16
    """Operations that wait or run, or are being sent, before further ones are refused."""

    disk_reserve_bytes: Annotated[int, Field(ge=0)] = 256 * MEBIBYTE
    """Free disk that uploads must leave, at most an eighth of the disk; 0 for none."""


class AudioSettings(_Section):
    """What the door accepts."""

    max_unary_seconds: Positive = 600.0
    """One utterance in one message."""

    max_upload_seconds: Positive = 6 * 3600.0
    """One upload."""

    max_upload_bytes: Count = 4096 * MEBIBYTE
    """One upload, encoded; it waits in a temporary file."""

    max_batch_files: Count = 10_000
    """Files of one BatchTranscribe."""

    max_batch_bytes: Count = 16_384 * MEBIBYTE
    """All of them together; they wait in the data directory until they are written down."""

    decode_workers: Count = 2
    """Processes that decode untrusted files."""

    max_parallel_uploads: Count = 8
    """Uploads that are decoded and embedded at once; each has a process of its own."""


class BatcherSettings(_Section):
    """How utterances are gathered for the encoder."""

    max_batch_frames: Count | None = None
    """Frames in one batch; None for 1000 (20 s of speech) on a processor and 12000 on a GPU."""

    queue_frames: Count = 60_000
    """Frames that may wait in a lane: 20 minutes of speech, 40 MB of features."""

    interactive_seconds: Positive = 10.0
    """Predicted wait above which Embed and Search are refused, and others wait to be let in."""

    normal_seconds: Positive = 60.0
    """The same for the lane of BatchEmbed and AddRecordings."""

    bulk_seconds: Positive = 600.0
    """The same for the lane of uploads."""

    cache_megabytes: Annotated[int, Field(ge=0)] = 0
    """Answers of the encoder that are kept, to be given again for the same audio; 0 for none."""

    stall_seconds: Positive = 30.0
    """Without a finished batch for so long while something waits, health says NOT_SERVING."""

    max_batch_items: Count = 256
    """Utterances in one BatchEmbed or AddRecordings."""


class ModelSettings(_Section):
    """The encoder."""

    name: str = "mini"
    """`mini`, a directory, or OWNER/NAME on the Hugging Face Hub."""

    threads: Count | None = None
    """Threads of the encoder; None for one for each core."""

    passes: Count | None = None
    """Passes at once, which share the threads; None for one a thread, 4 at most, on a processor."""

    device: str = "cpu"
    """Where the encoder runs: `cpu`, `cuda` or `cuda:N`."""

    heads: dict[HeadName, ModelName] = Field(default_factory=dict)
    """CTC heads of other models, by name: MODEL or MODEL:LANGUAGE,LANGUAGE; they run in fp32."""

    projections: Path | None = None
    """A file of further projections, such as `embedsvc align train` makes; None for none."""

    language_models: dict[str, Path] = {}
    """For each CTC head, by name: a folder with a language model or `lexicon.txt`, or one file."""

    precision: Precision = Precision.FP32
    """`fp32` is exact; `bf16` and `int8` serve if they change little; `auto` is the fastest."""

    runtime: Runtime = Runtime.TORCH
    """`torch`, or `onnxruntime` for a directory that `embedsvc models export` made."""


class Settings(_Section):
    """Everything an operator may choose."""

    data: Path = Field(default_factory=lambda: default_data_directory(os.environ))
    """Where collections are kept."""

    server: ServerSettings = ServerSettings()
    audio: AudioSettings = AudioSettings()
    batcher: BatcherSettings = BatcherSettings()
    model: ModelSettings = ModelSettings()


def default_data_directory(environ: Mapping[str, str]) -> Path:
    """`embedsvc` in the user's own data folder (XDG base directory specification)."""
    home = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "embedsvc"


def load(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Join file, environment and `flags` (a tree like the file's); report every fault at once."""
    environ = os.environ if environ is None else environ
    config = environ.get(f"{PREFIX}CONFIG")
    tree = _read(Path(config)) if config else {}
    for name, value in environ.items():
        if name.startswith(PREFIX) and name != f"{PREFIX}CONFIG":
            _place(tree, name.removeprefix(PREFIX).lower().split("__"), value)
    _overlay(tree, flags or {})
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in error.errors()
        ]
        raise SettingsError("; ".join(faults)) from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"`{PREFIX}CONFIG` must name a TOML file: {path}: {error}") from error


# A value where a section should be stays, so that it is reported with the other faults.
def _place(tree: dict[str, Any], path: list[str], value: str) -> None:
    for section in path[:-1]:
        inner = tree.setdefault(section, {})
        if not isinstance(inner, dict):
            return
        tree = inner
    tree[path[-1]] = value


def _overlay(tree: dict[str, Any], flags: Mapping[str, Any]) -> None:
    for name, value in flags.items():
        if isinstance(value, Mapping):
            inner = tree.setdefault(name, {})
            if isinstance(inner, dict):
                _overlay(inner, value)
        elif value is not None:
            tree[name] = value
