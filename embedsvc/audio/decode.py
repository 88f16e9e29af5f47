"""Bytes become 16 kHz mono samples: sound files and raw PCM, whole or block by block."""

import hashlib
from collections.abc import Iterator
from io import BytesIO
from typing import IO, Any

import numpy as np
import soundfile

from embedsvc.audio.containers import Kind, Source, inspect
from embedsvc.audio.door import Door, Intake
from embedsvc.errors import AudioUndecodable, PcmSize
from embedsvc.types import Audio, AudioWarning, Floats, PcmFormat, SampleFormat

BLOCK = 4_096
"""Samples per channel decoded at once; the most that one corrupt frame can take with it."""

_FORMATS = {
    Kind.WAV: {"WAV", "WAVEX", "RF64"},
    Kind.FLAC: {"FLAC"},
    Kind.OGG: {"OGG"},
    Kind.MP3: {"MP3"},
}
_UNKNOWN_COUNT = 2**62
_DTYPES: dict[SampleFormat, np.dtype[Any]] = {
    SampleFormat.S16: np.dtype("<i2"),
    SampleFormat.F32: np.dtype("<f4"),
}


def decode(data: bytes, door: Door) -> Audio:
    """The utterance in a WAV, FLAC, Ogg (Vorbis, Opus) or MP3 file.

    Decoders are C libraries fed with foreign bytes: give those to a `DecodePool`. The MP3 one
    also writes notes about broken files to standard error.
    """
    stream = FileStream(BytesIO(data), door)
    samples = np.concatenate(list(stream))
    return Audio(samples, stream.warnings)


def decode_pcm(data: bytes, pcm: PcmFormat, door: Door) -> Audio:
    """The utterance in raw PCM."""
    stream = PcmStream(pcm, door)
    samples = np.concatenate((stream.push(data), stream.finish()))
    return Audio(samples, stream.warnings)


def digest(samples: Floats) -> str:
    """SHA-256 of the little-endian float32 samples (N,), in hexadecimal."""
    whole = Digest()
    whole.update(samples)
    return whole.hex()


class Digest:
    """`digest` of samples that come in blocks."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, samples: Floats) -> None:
        """Take the next samples (N,)."""
        self._hash.update(np.ascontiguousarray(samples, dtype="<f4").data)

    def hex(self) -> str:
        """The digest of all samples so far."""
        return self._hash.hexdigest()


class FileStream:
    """Iterates over a seekable sound file in blocks of samples (N,), in bounded memory.

    Errors of the header are raised at once, those of the sound while iterating.
    """

    def __init__(self, file: IO[bytes], door: Door) -> None:
        self._source = Source(file)
        self._container = inspect(self._source)
        self._sound = _open(self._source, self._container.kind)
        self._intake = Intake(self._sound.samplerate, self._sound.channels, door)
        counted = self._container.counted and self._sound.frames < _UNKNOWN_COUNT
        self._promised = self._sound.frames if counted else 0
        self._intake.expect(self._promised)
        self._warnings: tuple[AudioWarning, ...] = ()
        self._blocks = self._read()

    def __iter__(self) -> Iterator[Floats]:
        return self._blocks

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        """What was noticed; complete when the iteration is over."""
        return self._warnings

    def _read(self) -> Iterator[Floats]:
        broken = False
        with self._sound:
            while not broken:
                try:
                    block = self._sound.read(self._next(), dtype="float32", always_2d=True)
                except soundfile.LibsndfileError:
                    broken = True
                else:
                    if not len(block):
                        break
                    yield self._intake.push(block)
            missing = self._missing(broken=broken)
        self._check_source()
        if missing and not self._intake.taken:
            raise AudioUndecodable(
                "`audio` must hold sound, but none could be decoded", field="audio"
            )
        rest = self._intake.finish()
        self._warnings = self._intake.warnings(missing)
        yield rest

    def _next(self) -> int:
        """Samples to read: none past a promised end, where decoders stumble over what follows."""
        return min(BLOCK, self._promised - self._intake.taken) if self._promised else BLOCK

    def _missing(self, *, broken: bool) -> str:
        promised, taken = self._promised, self._intake.taken
        if self._container.missing:
            return self._container.missing
        if taken < promised:
            return f"the header promises {promised} samples and {taken} could be decoded"
        return f"the data is corrupt after {taken} samples" if broken else ""

    def _check_source(self) -> None:
        if self._source.failure:
            raise self._source.failure


class PcmStream:
    """Raw PCM pushed in pieces of any size becomes samples (N,) at 16 kHz."""

    def __init__(self, pcm: PcmFormat, door: Door) -> None:
        self._dtype = _DTYPES[pcm.format]
        self._channels = pcm.channels
        self._width = self._dtype.itemsize * pcm.channels
        self._intake = Intake(pcm.sample_rate, pcm.channels, door)
        self._rest = b""
        self._warnings: tuple[AudioWarning, ...] = ()

    @property
    def warnings(self) -> tuple[AudioWarning, ...]:
        """What was noticed; complete after `finish`."""
        return self._warnings

    def push(self, data: bytes) -> Floats:
        """The samples that `data` completes; bytes of a part of a sample wait for the next."""
        data = self._rest + data
        count = len(data) // self._width
        self._intake.expect(self._intake.taken + count)
        self._rest = data[count * self._width :]
        values = np.frombuffer(data, self._dtype, count * self._channels)
        block = values.astype(np.float32).reshape(count, self._channels)
        if self._dtype.kind == "i":
            block /= 2**15
        return self._intake.push(block)

    def finish(self) -> Floats:
        """The last samples; raises PcmSize when a part of a sample is left over."""
        if self._rest:
            raise PcmSize(
                f"`audio` must be whole samples of {self._width} bytes, "
                f"but has {len(self._rest)} bytes left over",
                field="audio",
                sample_bytes=self._width,
                left_over_bytes=len(self._rest),
            )
        rest = self._intake.finish()
        self._warnings = self._intake.warnings()
        return rest


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # untyped base class
    """A sound file that is only read onward.

    soundfile seeks after each read of a seekable file, and reads no further than the header
    says; neither is wanted for files that may be corrupt.
    """

    def seekable(self) -> bool:
        return False


def _open(source: Source, kind: Kind) -> _ForwardFile:
    try:
        sound = _ForwardFile(source)
    except soundfile.LibsndfileError as error:
        if source.failure:
            raise source.failure from error
        raise _undecodable(kind) from error
    if sound.format not in _FORMATS[kind]:
        raise _undecodable(kind)
    return sound


def _undecodable(kind: Kind) -> AudioUndecodable:
    return AudioUndecodable(
        f"`audio` begins like {kind} but cannot be decoded", field="audio", container=kind
    )
