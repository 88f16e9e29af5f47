"""From what a caller sends to windows for the encoder, in bounded memory."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import BinaryIO, Protocol

from embedsvc.audio import (
    DecodePool,
    Digest,
    Door,
    PcmStream,
    Windower,
    decode_pcm,
    digest,
    windows,
)
from embedsvc.timing import SAMPLE_RATE, frame_count
from embedsvc.types import (
    Audio,
    AudioWarning,
    Floats,
    PcmFormat,
    SampleFormat,
    Source,
    Window,
    Windowing,
)

PCM_CHUNK_BYTES = 256 * 1024

_SAMPLE_BYTES = {SampleFormat.S16: 2, SampleFormat.F32: 4}


def expected_frames(source: Source) -> int:
    """The frames a source will be: those of raw PCM, or of a file of 16-bit samples at 16 kHz.

    >>> expected_frames(Source(bytes(16_000), PcmFormat(SampleFormat.S16, 8_000)))
    49
    """
    pcm = source.pcm or PcmFormat(SampleFormat.S16, SAMPLE_RATE)
    samples = len(source.data) // (_SAMPLE_BYTES[pcm.format] * max(1, pcm.channels))
    return frame_count(samples * SAMPLE_RATE // max(1, pcm.sample_rate))


class Windowed(Protocol):
    """Speech that comes as windows; what is known at its end."""

    digest: str
    warnings: tuple[AudioWarning, ...]

    def windows(self) -> AsyncGenerator[Window]:
        """The windows, in order."""
        ...


class Blocks(Protocol):
    """A file that is being decoded: blocks of samples, then what was noticed."""

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        """Complete after the last block."""
        ...

    def __iter__(self) -> Iterator[Floats]: ...


class Utterance:
    """One utterance that is in memory, until its windows are taken; `samples` is its length."""

    def __init__(self, audio: Audio, windowing: Windowing) -> None:
        self._windows = deque(windows(audio.samples, windowing))
        self.samples = len(audio.samples)
        self.digest = digest(audio.samples)
        self.warnings = audio.warnings

    async def known_digest(self) -> str:
        """The digest, before any window is taken."""
        return self.digest

    async def windows(self) -> AsyncGenerator[Window]:
        """Its windows, in order; they can be taken once."""
        while self._windows:
            yield self._windows.popleft()


class Upload:
    """One file that waits on disk, decoded as it is needed.

    `digest` and `warnings` are complete after the last window.
    """

    def __init__(
        self,
        file: BinaryIO,
        pcm: PcmFormat | None,
        door: Door,
        windowing: Windowing,
        pool: DecodePool,
    ) -> None:
        self._file = file
        self._pcm = pcm
        self._door = door
        self._pool = pool
        self._windower = Windower(windowing)
        self._digest = Digest()
        self.digest = ""
        self.warnings: tuple[AudioWarning, ...] = ()

    async def known_digest(self) -> str:
        """The digest, for which the file is decoded once more than it is embedded."""
        whole = Digest()
        with self._stream() as stream:
            async for block in _threaded(iter(stream)):
                whole.update(block)
            self.warnings = stream.warnings
        self._file.seek(0)
        return whole.hex()

    async def windows(self) -> AsyncGenerator[Window]:
        """Its windows, in order; the next block is decoded when they are taken."""
        with self._stream() as stream:
            async for block in _threaded(iter(stream)):
                for window in self._push(block):
                    yield window
            self.warnings = stream.warnings
        self.digest = self._digest.hex()
        for window in self._windower.finish():
            yield window

    def _stream(self) -> AbstractContextManager[Blocks]:
        if self._pcm is not None:
            return nullcontext(_PcmFile(self._file, self._pcm, self._door))
        return self._pool.stream(self._file, self._door)

    def _push(self, block: Floats) -> list[Window]:
        self._digest.update(block)
        return self._windower.push(block)


class _PcmFile:
    """A file of raw PCM, as blocks."""

    def __init__(self, file: BinaryIO, pcm: PcmFormat, door: Door) -> None:
        self._file = file
        self._stream = PcmStream(pcm, door)

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        return self._stream.warnings

    def __iter__(self) -> Iterator[Floats]:
        while chunk := self._file.read(PCM_CHUNK_BYTES):
            yield self._stream.push(chunk)
        yield self._stream.finish()


class Reader:
    """Decodes short utterances whole, `workers` at a time."""

    def __init__(self, pool: DecodePool, max_seconds: float, workers: int) -> None:
        self._pool = pool
        self._max_seconds = max_seconds
        # Waiting for a process in a thread would keep that thread from searches and writes.
        self._free = asyncio.Semaphore(workers)

    async def read(self, source: Source, windowing: Windowing) -> Utterance:
        """The utterance at 16 kHz, mono, checked; containers are decoded in another process."""
        audio = await self._decode(source)
        return await asyncio.to_thread(Utterance, audio, windowing)

    async def _decode(self, source: Source) -> Audio:
        door = Door(source.policy, self._max_seconds, source.strict)
        if source.pcm is not None:
            return await asyncio.to_thread(decode_pcm, source.data, source.pcm, door)
        async with self._free:
            return await asyncio.to_thread(self._pool.decode, source.data, door)


async def _threaded(items: Iterator[Floats]) -> AsyncIterator[Floats]:
    """Take each item in a thread, so that waiting for it holds nobody up."""

    def take() -> Floats | None:
        return next(items, None)

    while (item := await asyncio.to_thread(take)) is not None:
        yield item
