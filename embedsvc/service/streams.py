"""Streams of callers: a config, then bytes in any chunks, heard at once or gathered in a file."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from embedsvc.errors import AudioEmpty, AudioTooLong, DiskFull, StreamIdle, StreamProtocol
from embedsvc.files import Take
from embedsvc.settings import ServerSettings

HASHED_BYTES = 1 << 20


@dataclass(frozen=True)
class Uploads:
    """What one upload may be; `take` is told of its bytes, for all uploads together."""

    max_bytes: int
    take: Take


async def opened(
    messages: AsyncIterator[Any], server: ServerSettings, advice: str = ""
) -> tuple[Any, AsyncIterator[Any]]:
    """The config that every stream begins with, and all messages after it.

    Both raise StreamIdle when nothing comes for too long: a sender that has stopped gives free
    what it holds.
    """
    timely = _timely(messages, server.stream_idle_seconds, advice)
    first = await anext(timely, None)
    if first is None or first.WhichOneof("message") != "config":
        raise StreamProtocol("the first message must be `config`", field="config")
    return first.config, timely


async def _timely(
    messages: AsyncIterator[Any], idle_seconds: float, advice: str
) -> AsyncGenerator[Any]:
    while True:
        try:
            async with asyncio.timeout(idle_seconds):
                message = await anext(messages)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise StreamIdle(
                f"a stream must send something every {idle_seconds:g} s, but sent nothing{advice}",
                idle_seconds=idle_seconds,
            ) from error
        yield message


async def chunks(messages: AsyncIterator[Any]) -> AsyncGenerator[bytes | None]:
    """The audio of a live stream, None where it is to be flushed."""
    async for message in messages:
        match message.WhichOneof("message"):
            case "audio":
                yield message.audio
            case "flush":
                yield None
            case _:
                raise StreamProtocol("`config` must come once, and `audio` or `flush` after it")


@asynccontextmanager
async def gathered(messages: AsyncIterator[Any], allowed: Uploads) -> AsyncIterator[BinaryIO]:
    """All audio of an upload, in a file that is gone afterwards.

    The sender waits while the disk does, so memory holds one chunk at a time.
    """
    await asyncio.to_thread(allowed.take, 0)
    with tempfile.TemporaryFile(prefix="embedsvc-upload-") as file:
        size = 0
        async for message in messages:
            if message.WhichOneof("message") != "audio":
                raise StreamProtocol("`config` must come once, and only `audio` after it")
            size += len(message.audio)
            if size > allowed.max_bytes:
                raise AudioTooLong(
                    f"`audio` must be at most {allowed.max_bytes} bytes in one upload",
                    field="audio",
                    max_bytes=allowed.max_bytes,
                )
            await asyncio.to_thread(_write, file, message.audio, allowed.take)
        if not size:
            raise AudioEmpty("`audio` must have bytes, but is empty", field="audio")
        file.seek(0)
        yield file


def _write(file: BinaryIO, data: bytes, take: Take) -> None:
    take(len(data))
    try:
        file.write(data)
    except OSError as error:
        raise DiskFull("the folder for temporary files has no room for this upload") from error


def digest_of(file: BinaryIO) -> str:
    """SHA-256 of all bytes of a file, whose place is then its start again."""
    digest = hashlib.sha256()
    while chunk := file.read(HASHED_BYTES):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
