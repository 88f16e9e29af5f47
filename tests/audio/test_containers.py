import io
from collections.abc import Callable

import pytest

from embedsvc.audio.containers import Kind, Source, inspect
from embedsvc.errors import AudioUndecodable
from embedsvc.types import Floats

Encode = Callable[..., bytes]
Chirp = Callable[..., Floats]


def test_the_container_is_known_by_its_bytes(encode: Encode, chirp: Chirp) -> None:
    kinds = {"WAV": Kind.WAV, "RF64": Kind.WAV, "FLAC": Kind.FLAC, "OGG": Kind.OGG, "MP3": Kind.MP3}
    for container, kind in kinds.items():
        found = inspect(Source(io.BytesIO(encode(chirp(), 16_000, container))))
        assert (found.kind, found.missing) == (kind, "")


def test_flac_behind_a_tag_is_flac(encode: Encode, chirp: Chirp) -> None:
    tag = b"ID3\3\0\0" + bytes([0, 0, 0, 5]) + bytes(5)
    assert inspect(Source(io.BytesIO(tag + encode(chirp(), 16_000, "FLAC")))).kind is Kind.FLAC


def test_a_wav_that_lost_its_tail_says_how_much(encode: Encode, chirp: Chirp) -> None:
    file = encode(chirp(), 16_000)
    found = inspect(Source(io.BytesIO(file[:-1_000])))
    assert "32000 bytes" in found.missing
    assert "31000 arrived" in found.missing


def test_chunks_that_go_nowhere_end() -> None:
    loop = b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 10_000
    assert inspect(Source(io.BytesIO(loop))).missing == ""
    far = b"RIFF\0\0\0\0WAVE" + b"junk\xff\xff\xff\xff" * 3
    assert inspect(Source(io.BytesIO(far))).missing == ""


def test_no_move_of_the_decoder_raises() -> None:
    source = Source(io.BytesIO(b"0123456789"))
    assert source.seek(-5) == 0
    assert source.seek(-3, 2) == 7
    assert source.readinto(memoryview(bytearray(9))) == 3
    assert source.seek(2**62, 1) == 2**62
    assert source.readinto(memoryview(bytearray(9))) == 0
    assert source.tell() == 2**62


def test_a_failing_read_is_kept_for_later() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "gone")

    source = Source(Broken(b"data"))
    with pytest.raises(AudioUndecodable):
        inspect(source)
    assert source.failure is not None
