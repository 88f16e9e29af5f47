"""The process that decodes foreign bytes for a `DecodePool`, with little to break or take.

It starts with a socket as standard input, answers one request after another, and ends when the
other side is gone. Whatever is wrong with it, it may die: the pool starts another.
"""

import math
import os
import resource
import socket

import numpy as np

from embedsvc.audio import messages
from embedsvc.audio.decode import FileStream
from embedsvc.audio.door import Door
from embedsvc.errors import EmbedsvcError
from embedsvc.types import ChannelPolicy, Floats

_MEMORY = 2**30
"""Bytes of address space, of which the libraries take a tenth."""

_OPEN_FILES = 32
_CPU_SECONDS = 30
_CPU_SHARE = 0.1
"""Seconds of processor per second of audio accepted; decoders take under 0.01."""

_ENOUGH = 2**15
"""Samples that are worth a message of their own."""


def run(connection: socket.socket) -> None:
    """Answer requests until the other side is gone."""
    messages.send(connection, {"kind": "ready"})
    while request := messages.receive(connection):
        if request.file is None:
            return
        door = Door(
            ChannelPolicy(request.header["policy"]),
            request.header["max_seconds"],
            request.header["strict"],
        )
        _allow_time(door.max_seconds)
        # Opened anew, so that the place in the file is ours, and only for reading.
        path = f"/proc/self/fd/{request.file}"
        try:
            _answer(connection, path, door)
        finally:
            os.close(request.file)


def confine() -> None:
    """Give up what decoding does not need: memory, writing files, core dumps."""
    limits = {
        resource.RLIMIT_AS: _MEMORY,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _OPEN_FILES,
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))


def _allow_time(seconds: float) -> None:
    """End the process when it computes for too long, even if nobody watches it any more."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    most = usage.ru_utime + usage.ru_stime + _CPU_SECONDS + _CPU_SHARE * min(seconds, 1e6)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(most), hard))


def _answer(connection: socket.socket, path: str, door: Door) -> None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  # not a path of the file system
            stream = FileStream(file, door)
            waiting: list[Floats] = []
            for block in stream:
                waiting.append(block)
                if sum(map(len, waiting)) >= _ENOUGH:
                    messages.send(connection, {"kind": "block"}, np.concatenate(waiting))
                    waiting.clear()
            warnings = [(warning.code, warning.message) for warning in stream.warnings]
        samples = np.concatenate(waiting) if waiting else np.empty(0, np.float32)
        messages.send(connection, {"kind": "end", "warnings": warnings}, samples)
    except EmbedsvcError as error:
        header = {
            "kind": "error",
            "class": type(error).__name__,
            "message": error.message,
            "field": error.field,
            "facts": error.facts,
        }
        messages.send(connection, header)


if __name__ == "__main__":
    confine()
    run(socket.socket(fileno=0))
