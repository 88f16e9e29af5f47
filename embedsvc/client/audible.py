"""Audio as people have it, on its way to the server."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import NDArray

from embedsvc.client.results import ServerInfo
from embedsvc.errors import AudioUndecodable, InvalidArgument, SampleRateOutOfRange
from embedsvc.types import ChannelPolicy, Lane, PcmFormat, SampleFormat, Source
from embedsvc.v1 import types_pb2
from embedsvc.wire import audio, enums

Choice = TypeVar("Choice", bound=StrEnum)

Audible = str | Path | bytes | tuple[NDArray[np.floating[Any]], int]
"""A path, the bytes of a sound file, or samples (N,) or (N, C) in [-1, 1] and their rate."""

SMALL_BYTES = 4 * 1024 * 1024
"""A file of more bytes is uploaded; it may be hours long, and memory stays free."""


@dataclass(frozen=True)
class Sound:
    """Audio to send: a file or bytes in memory, and how to read them."""

    path: Path | None
    data: bytes
    pcm: PcmFormat | None
    policy: ChannelPolicy

    @property
    def size(self) -> int:
        """Bytes to send."""
        return len(self.data) if self.path is None else self.path.stat().st_size

    def is_small(self, info: ServerInfo) -> bool:
        """Whether it goes in one message."""
        if self.size > min(SMALL_BYTES, info.max_request_bytes // 2):
            return False
        if self.path is None and self.pcm is not None:
            width = self.pcm.channels * (4 if self.pcm.format is SampleFormat.F32 else 2)
            return self.size <= info.max_unary_seconds * self.pcm.sample_rate * width
        return True

    def message(self) -> types_pb2.Audio:
        """As one message."""
        data = self.data if self.path is None else _bytes(self.path)
        return audio.source_message(Source(data, self.pcm, self.policy))

    def upload_fields(self) -> dict[str, Any]:
        """The fields of an upload's config that say how to read it."""
        fields: dict[str, Any] = {"channel_policy": enums.CHANNELS[self.policy]}
        if self.pcm is not None:
            fields["pcm"] = audio.pcm_message(self.pcm)
        return fields

    def chunks(self, size: int) -> Iterator[bytes]:
        """The bytes in pieces."""
        file: BinaryIO = io.BytesIO(self.data) if self.path is None else self.path.open("rb")
        with file:
            while chunk := file.read(size):
                yield chunk


def read(source: Audible, policy: ChannelPolicy = ChannelPolicy.MIX) -> Sound:
    """What to send for `source`."""
    if isinstance(source, bytes):
        return Sound(None, source, None, policy)
    if isinstance(source, tuple):
        return Sound(None, *_pcm(*source), policy)
    path = Path(source)
    if not path.is_file():
        raise AudioUndecodable(f"`{path}` must be a file, but is not")
    return Sound(path, b"", None, policy)


def _pcm(samples: NDArray[np.floating[Any]], rate: int) -> tuple[bytes, PcmFormat]:
    given = np.asarray(samples)
    if given.dtype.kind != "f":
        raise InvalidArgument(
            f"`samples` must be floats in [-1, 1], but are {given.dtype}", field="samples"
        )
    if given.ndim not in {1, 2}:
        raise InvalidArgument(
            f"`samples` must be (N,) or (N, C), but are {given.shape}", field="samples"
        )
    if not 0 < rate < 2**31 or rate != int(rate):
        raise SampleRateOutOfRange(
            f"`sample_rate` must be a whole number of hertz, but is {rate}", field="sample_rate"
        )
    channels = 1 if given.ndim == 1 else given.shape[1]
    return given.astype("<f4").tobytes(), PcmFormat(SampleFormat.F32, int(rate), channels)


def choice(kind: type[Choice], value: str, field: str) -> Choice:
    """The member of `kind` that a caller named."""
    try:
        return kind(value)
    except ValueError as error:
        raise InvalidArgument(
            f"`{field}` must be one of {', '.join(kind)}, but is {value!r}", field=field
        ) from error


def lane_number(lane: Lane | str | None) -> types_pb2.Lane.ValueType:
    """The lane that a caller named, as a message has it; None is the method's own."""
    return types_pb2.LANE_UNSPECIFIED if lane is None else enums.LANE[choice(Lane, lane, "lane")]


def upload(kind: Any, config: Any, sound: Sound, chunk_bytes: int) -> Iterator[Any]:
    """The messages of an upload."""
    yield kind(config=config)
    for chunk in sound.chunks(chunk_bytes):
        yield kind(audio=chunk)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AudioUndecodable(
            f"`{path}` must be readable, but is not: {error.strerror}"
        ) from error
