"""What the bytes of a sound file promise, read without decoding them."""

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import IO

from embedsvc.errors import AudioEmpty, AudioUndecodable

_UNKNOWN_SIZE = 0x7FFF_F000
"""Programs that write WAV to a pipe put this size or a larger one, or 0, for "until the end"."""

_LARGEST_PAGE = 27 + 255 + 255 * 255
"""Bytes of the largest Ogg page (RFC 3533, section 6)."""

_LARGEST_MP3_FRAME = 1_441
"""Bytes of a frame of 320 kbit/s at 32 kHz, which is the largest."""

_END_TAG = 128
"""Bytes of an ID3v1 tag, the last ones of an MP3 file that has one."""

_MP3_BIT_RATES = 64
"""More than the highest bit rate (320 kbit/s) over the lowest (8 kbit/s)."""

_MOST_CHUNKS = 256
_FARTHEST = 2**62


class Kind(StrEnum):
    """A container we read."""

    WAV = "WAV"
    FLAC = "FLAC"
    OGG = "Ogg"
    MP3 = "MP3"


@dataclass(frozen=True)
class Container:
    """What was found before decoding.

    `missing` says what a truncated file lacks. `counted`: the header has the number of samples,
    which the decoder would otherwise guess.
    """

    kind: Kind
    missing: str = ""
    counted: bool = True


class Source:
    """A seekable binary file as the decoder sees it: no call ever raises.

    The decoder's callbacks cannot carry exceptions, so a failing read is kept in `failure`.
    `unsized` is the place of a WAV data size of 0 that means "until the end", which the decoder
    reads as "empty" and is therefore shown another value. `shown_size` is the size of the file
    that the decoder is told; a tag it looks for at that end is all zeros.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._place = 0
        self.size = file.seek(0, 2)
        self.shown_size = self.size
        self.failure: OSError | None = None
        self.unsized: int | None = None

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move; places before the start become the start."""
        base = (0, self._place, self.shown_size)[whence]
        self._place = min(max(base + offset, 0), _FARTHEST)
        return self._place

    def tell(self) -> int:
        """The place of the next read."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:
        """Fill `buffer` as far as there are bytes; their number."""
        data = self.peek(self._place, len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def peek(self, place: int, count: int) -> bytes:
        """Up to `count` bytes at `place`, without moving."""
        if place >= self.shown_size - _END_TAG >= self.size:
            return bytes(count)
        try:
            self._file.seek(min(place, self.size))
            data = self._file.read(count)
        except OSError as error:
            self.failure = error
            return b""
        return data if self.unsized is None else _overlaid(data, self.unsized - place)


def inspect(source: Source) -> Container:
    """Recognize the container by its bytes; raises AudioEmpty or AudioUndecodable."""
    if not source.size:
        raise AudioEmpty("`audio` must have bytes, but has none", field="audio")
    head = source.peek(0, 12)
    if head[:4] in {b"RIFF", b"RIFX", b"RF64"} and head[8:] == b"WAVE":
        return _wav(source, head[:4])
    if head[:4] == b"fLaC":
        return Container(Kind.FLAC)
    if head[:4] == b"OggS":
        return _ogg(source)
    start = _after_tag(source)
    head = source.peek(start, 4)
    if start and head == b"fLaC":
        return Container(Kind.FLAC)
    if start or _begins_mp3(head):
        return _mp3(source, start)
    raise AudioUndecodable(
        "`audio` must be WAV, FLAC, Ogg or MP3, but is none of them", field="audio"
    )


def _wav(source: Source, form: bytes) -> Container:
    """Compare the size of the data chunk with the bytes that are there."""
    order = ">" if form == b"RIFX" else "<"
    place, wide = 12, None
    for _ in range(_MOST_CHUNKS):
        head = source.peek(place, 8)
        if len(head) < 8:
            break
        name, size = struct.unpack(f"{order}4sI", head)
        if name == b"data":
            promised = size if wide is None or size != 0xFFFF_FFFF else wide
            return _wav_data(source, place + 8, promised)
        if name == b"ds64" and form == b"RF64":
            wide = int.from_bytes(source.peek(place + 16, 8), "little")
        place += 8 + size + size % 2
    return Container(Kind.WAV)


def _wav_data(source: Source, start: int, promised: int) -> Container:
    arrived = source.size - start
    closed = int.from_bytes(source.peek(4, 4), "little") + 8 == source.size
    if promised == 0 and arrived and not closed:
        source.unsized = start - 4
    unknown = _UNKNOWN_SIZE <= promised <= 0xFFFF_FFFF
    if promised <= arrived or unknown:
        return Container(Kind.WAV)
    return Container(
        Kind.WAV, f"the header promises {promised} bytes of samples and {arrived} arrived"
    )


def _ogg(source: Source) -> Container:
    """Ask the last page whether it is whole and marked as the end of its stream."""
    if _is_chained(source):
        return Container(Kind.OGG, "the file is a chain of streams and only the first is read")
    tail = source.peek(max(source.size - _LARGEST_PAGE, 0), _LARGEST_PAGE)
    place = tail.rfind(b"OggS")
    page = tail[place:] if place >= 0 else b""
    if len(page) >= 27:
        lacing = page[27 : 27 + page[26]]
        whole = len(page) >= 27 + page[26] + sum(lacing)
        if whole and page[5] & 4:
            return Container(Kind.OGG)
    return Container(Kind.OGG, "the stream ends without its last page")


def _is_chained(source: Source) -> bool:
    """Whether a page that begins a stream follows one that does not."""
    place, begun = 0, False
    while True:
        page = source.peek(place, 27 + 255)
        if page[:4] != b"OggS" or len(page) < 27:
            return False
        begins = bool(page[5] & 2)
        if begins and begun:
            return True
        begun = begun or not begins
        place += 27 + page[26] + sum(page[27 : 27 + page[26]])


def _mp3(source: Source, start: int) -> Container:
    """Look for the count of frames that encoders put into the first one, after Xing's design.

    It is a mark, flags that say which fields follow, the number of frames and that of bytes.

    Without it the decoder infers the length from the first frame and the size of the file, and
    stops there, which loses the rest of a file with variable bit rate: show it a size that no
    file of that many frames exceeds.
    """
    first = source.peek(start, _LARGEST_MP3_FRAME)
    place = max(first.find(b"Xing"), first.find(b"Info"))
    table = first[place : place + 16] if place >= 0 else b""
    if len(table) < 16 or not table[7] & 1:
        source.shown_size = source.size * _MP3_BIT_RATES
        return Container(Kind.MP3, counted=False)
    end = start + int.from_bytes(table[12:16], "big")
    if table[7] & 2 and end > start and _begins_mp3(source.peek(end, 3)):
        return Container(Kind.MP3, "the file is a chain of MP3s and only the first is read")
    return Container(Kind.MP3)


def _begins_mp3(head: bytes) -> bool:
    """Whether there is a tag, or the eleven set bits of a frame header."""
    return head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


def _after_tag(source: Source) -> int:
    """Bytes of the ID3v2 tag at the start, 0 if there is none."""
    head = source.peek(0, 10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:]:
        size = size * 128 + byte % 128
    return 10 + size


def _overlaid(data: bytes, place: int) -> bytes:
    """`data` with the four bytes at `place` set, as far as they lie in it."""
    first, last = max(place, 0), min(place + 4, len(data))
    return data[:first] + b"\xff" * (last - first) + data[last:] if first < last else data
