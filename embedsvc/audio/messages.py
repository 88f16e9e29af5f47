"""What a decode pool and its workers say to each other: JSON and raw samples over a socket.

A message is two little-endian lengths in bytes, a JSON object and float32 samples. Nothing in it
can run code, and its size is bounded, because a worker may have been taken over by the file that
it decodes.
"""

import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedsvc.types import Floats

MAX_HEADER = 2**16
MAX_SAMPLES = 2**20

_LENGTHS = struct.Struct("<II")
_NONE = np.empty(0, np.float32)


@dataclass(frozen=True)
class Message:
    """One message; `file` is a descriptor that came with it, and is the receiver's to close."""

    header: Mapping[str, Any]
    samples: Floats
    file: int | None = None


def send(
    connection: socket.socket,
    header: Mapping[str, Any],
    samples: Floats = _NONE,
    file: int | None = None,
) -> None:
    """Send a header with samples (N,), and a duplicate of the descriptor `file`."""
    text = json.dumps(header).encode()
    lengths = _LENGTHS.pack(len(text), samples.nbytes)
    if file is None:
        connection.sendall(lengths + text)
    else:
        socket.send_fds(connection, [lengths], [file])
        connection.sendall(text)
    if len(samples):
        connection.sendall(np.ascontiguousarray(samples, dtype="<f4").data)


def receive(connection: socket.socket) -> Message | None:
    """Wait for the next message, or None if the other side is gone."""
    start, files, _, _ = socket.recv_fds(connection, _LENGTHS.size, 1, socket.MSG_WAITALL)
    if len(start) < _LENGTHS.size:
        return None
    text_size, samples_size = _LENGTHS.unpack(start)
    if text_size > MAX_HEADER or samples_size > 4 * MAX_SAMPLES or samples_size % 4:
        return None
    text, samples = bytearray(text_size), np.empty(samples_size // 4, "<f4")
    if not (_fill(connection, memoryview(text)) and _fill(connection, samples.data.cast("B"))):
        return None
    header = json.loads(text)
    if not isinstance(header, dict):
        return None
    return Message(header, samples, files[0] if files else None)


def _fill(connection: socket.socket, buffer: memoryview) -> bool:
    """Receive into all of `buffer`; false if the other side left before."""
    place = 0
    while place < len(buffer):
        count = connection.recv_into(buffer[place:])
        if not count:
            return False
        place += count
    return True
