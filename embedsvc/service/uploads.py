"""Uploads: a config, then bytes in any chunks, gathered in a temporary file."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, BinaryIO

from embedsvc.errors import AudioEmpty, AudioTooLong, DiskFull, StreamProtocol

HASHED_BYTES = 1 << 20


async def config_of(messages: AsyncIterator[Any]) -> Any:
    """The config that every stream begins with."""
    async for message in messages:
        if message.WhichOneof("message") == "config":
            return message.config
        break
    raise StreamProtocol("the first message must be `config`", field="config")


@asynccontextmanager
async def gathered(messages: AsyncIterator[Any], max_bytes: int) -> AsyncIterator[BinaryIO]:
    """All audio of an upload, in a file that is gone afterwards.

    The sender waits while the disk does, so memory holds one chunk at a time.
    """
    with tempfile.TemporaryFile(prefix="embedsvc-upload-") as file:
        size = 0
        async for message in messages:
            if message.WhichOneof("message") != "audio":
                raise StreamProtocol("`config` must come once, and only `audio` after it")
            size += len(message.audio)
            if size > max_bytes:
                raise AudioTooLong(
                    f"`audio` must be at most {max_bytes} bytes in one upload",
                    field="audio",
                    max_bytes=max_bytes,
                )
            await asyncio.to_thread(_write, file, message.audio)
        if not size:
            raise AudioEmpty("`audio` must have bytes, but is empty", field="audio")
        file.seek(0)
        yield file


def _write(file: BinaryIO, data: bytes) -> None:
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
