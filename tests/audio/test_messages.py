import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from embedsvc.audio import messages

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    with left, right:
        yield left, right


def test_a_message_arrives_with_its_samples(pair: Pair) -> None:
    left, right = pair
    samples = np.arange(5_000, dtype=np.float32)
    messages.send(left, {"kind": "block"}, samples)
    message = messages.receive(right)
    assert message is not None
    assert message.header == {"kind": "block"}
    np.testing.assert_array_equal(message.samples, samples)
    assert message.file is None


def test_a_descriptor_travels_along(pair: Pair, tmp_path: Path) -> None:
    left, right = pair
    path = tmp_path / "sound"
    path.write_bytes(b"bytes")
    with path.open("rb") as file:
        messages.send(left, {}, file=file.fileno())
    message = messages.receive(right)
    assert message is not None
    assert message.file is not None
    with os.fdopen(message.file, "rb") as received:
        assert received.read() == b"bytes"


@pytest.mark.parametrize("start", [b"", b"\1\0", struct.pack("<II", 4, 8) + b"{}"])
def test_a_message_that_breaks_off_is_none(pair: Pair, start: bytes) -> None:
    left, right = pair
    left.sendall(start)
    left.close()
    assert messages.receive(right) is None


@pytest.mark.parametrize("lengths", [(2**16 + 1, 0), (2, 2**22 + 4), (2, 3)])
def test_a_message_that_claims_too_much_is_none(pair: Pair, lengths: tuple[int, int]) -> None:
    left, right = pair
    left.sendall(struct.pack("<II", *lengths))
    assert messages.receive(right) is None
