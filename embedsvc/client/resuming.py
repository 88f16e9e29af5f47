"""A live stream that goes on in a new call when the server goes away."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from google.protobuf.duration_pb2 import Duration

from embedsvc.errors import Unavailable
from embedsvc.types import PcmFormat, SampleFormat
from embedsvc.wire import times

KEPT_SECONDS = 120.0
"""Audio that is kept to be sent again: a stretch, what is heard around it, and some that waits."""

_WIDTHS = {SampleFormat.S16: 2, SampleFormat.F32: 4}
_PAUSE = 0.5
"""Seconds between tries to go on."""


class Kept:
    """Chunks of a stream since the last place from which it can go on.

    The source is read no further than `KEPT_SECONDS` beyond that place, so that memory is bounded:
    a sender waits for a server that is slower.
    """

    def __init__(self, chunks: Iterable[bytes | None], pcm: PcmFormat) -> None:
        self._source = iter(chunks)
        self._width = _WIDTHS[pcm.format] * pcm.channels
        self._rate = pcm.sample_rate
        self._most = int(KEPT_SECONDS * self._rate) * self._width
        self._kept: deque[bytes | None] = deque()
        self._first = 0
        self._start = self._end = 0
        self._changed = threading.Condition()
        self._reading = threading.Lock()
        self._round = 0
        self._over = False
        self.token = b""

    def forget(self, token: bytes, until: Duration) -> None:
        """The stream can go on with `token`, and what was before `until` is not sent again."""
        with self._changed:
            self.token = token
            place = round(times.seconds(until) * self._rate) * self._width
            while self._kept and self._start < place:
                chunk = self._kept.popleft() or b""
                used = min(len(chunk), place - self._start)
                self._start += used
                if used < len(chunk):
                    self._kept.appendleft(chunk[used:])
                else:
                    self._first += 1
            self._changed.notify_all()

    def begin(self) -> Iterator[bytes | None]:
        """What is kept, and then what comes; for a call before this one nothing comes any more."""
        with self._changed:
            self._round += 1
            self._changed.notify_all()
            return self._sending(self._round, self._first)

    def stop(self) -> None:
        """Nothing is sent any more."""
        with self._changed:
            self._round += 1
            self._changed.notify_all()

    def _sending(self, mine: int, number: int) -> Iterator[bytes | None]:
        while self._there(mine, number):
            with self._changed:
                chunk = self._kept[number - self._first]
            number += 1
            yield chunk

    def _there(self, mine: int, number: int) -> bool:
        """Whether the chunk of that number is kept, after waiting for it."""
        with self._changed:
            self._changed.wait_for(lambda: self._round != mine or self._has(number) or self._room)
            if self._round != mine or self._has(number):
                return self._round == mine
        # The source may keep us waiting, and nobody else should wait for that.
        with self._reading:
            if self._round == mine and not self._has(number) and not self._over:
                self._read()
            return self._round == mine and self._has(number)

    @property
    def _room(self) -> bool:
        return self._end - self._start < self._most

    def _has(self, number: int) -> bool:
        return number < self._first + len(self._kept)

    def _read(self) -> None:
        for chunk in self._source:
            if chunk is None or chunk:
                with self._changed:
                    self._kept.append(chunk)
                    self._end += len(chunk or b"")
                return
        self._over = True


def resuming(
    kept: Kept, call: Callable[[bytes, Iterator[bytes | None]], Iterator[Any]], seconds: float
) -> Iterator[Any]:
    """The answers of a call with a token and chunks; of further ones while there is no server.

    Raises Unavailable when none answers for so many `seconds`.
    """
    answered = time.monotonic()
    try:
        while True:
            try:
                for reply in call(kept.token, kept.begin()):
                    answered = time.monotonic()
                    _remember(kept, reply)
                    yield reply
            except Unavailable:
                if time.monotonic() - answered > seconds:
                    raise
                time.sleep(_PAUSE)
            else:
                return
    finally:
        kept.stop()


def _remember(kept: Kept, reply: Any) -> None:
    for kind in ("final", "progress"):
        if reply.HasField(kind):
            part = getattr(reply, kind)
            kept.forget(part.resume_token, part.resume_from)
