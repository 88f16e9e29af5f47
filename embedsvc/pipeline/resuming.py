"""Where a live stream can go on in another call: a place in it, as a token that nobody keeps.

A token holds numbers alone. Its checksum tells damage from a token, and is no secret: whoever makes
one up hears his own stream otherwise than it was, and nothing else.
"""

import hashlib
import struct
from dataclasses import dataclass

import numpy as np

from embedsvc.audio import Statistics
from embedsvc.errors import ResumeTokenInvalid
from embedsvc.timing import FRAME, HOP, SAMPLE_RATE

_VERSION = 1
_CHECK = 8
_HEAD = struct.Struct("<B8sQQQQ?")
_BINS = 80
_LATEST = 10 * 365 * 24 * 3600 * SAMPLE_RATE
_FURTHEST = 120 * SAMPLE_RATE
"""Samples between the numbers of one place at most: a stretch and what is heard around it."""

_MOST_COUNT = 1e6
_MOST_SUM = 1e12


@dataclass(frozen=True)
class Place:
    """A place in a stream, in samples since its start.

    Audio is sent again from `sent` on, `step` is what the encoder is asked about first, and what
    begins at `start` is told anew. `next` is where the encoder hears next, or the mel frames that
    the `statistics` are of. `speaks` says that somebody was in the middle of speech.
    """

    sent: int
    step: int
    start: int
    next: int
    speaks: bool = False
    statistics: Statistics | None = None


def token(place: Place, config: bytes) -> bytes:
    """A place of a stream with that config, as up to 1.4 KB."""
    numbers = b"" if place.statistics is None else _numbers(place.statistics)
    places = (place.sent, place.step, place.start, place.next)
    head = _HEAD.pack(_VERSION, _short(config), *places, place.speaks)
    return head + numbers + _short(head + numbers)


def place_of(data: bytes, config: bytes, field: str, *, learns: bool) -> Place:
    """The place that a token tells of; with statistics if the mode `learns` them.

    Raises ResumeTokenInvalid for bytes that are none, or of a stream with another config.
    """
    body, check = data[:-_CHECK], data[-_CHECK:]
    size = _HEAD.size + (8 * (1 + 2 * _BINS) if learns else 0)
    if len(body) < _HEAD.size or check != _short(body) or body[0] != _VERSION:
        raise ResumeTokenInvalid(
            f"`{field}` must be a token as a final brings it, but is not", field=field
        )
    _, made_for, *places, speaks = _HEAD.unpack(body[: _HEAD.size])
    if made_for != _short(config) or len(body) != size:
        raise ResumeTokenInvalid(
            f"`{field}` must be of a stream with the same config, but is of another", field=field
        )
    if not _follow(*places, learns=learns) or body[_HEAD.size - 1] > 1:
        raise ResumeTokenInvalid(f"`{field}` must tell of a place, but tells none", field=field)
    statistics = _statistics(body[_HEAD.size :], field) if learns else None
    return Place(*places, speaks, statistics)


def _follow(sent: int, step: int, start: int, following: int, *, learns: bool) -> bool:
    """Whether the numbers of a place are near each other, and on the grid of mel frames."""
    heard = following * HOP if learns else following
    whole = not learns or not (sent % FRAME or step % FRAME or start % FRAME)
    return whole and sent <= step <= start and sent <= heard <= sent + _FURTHEST and (
        start <= min(sent + _FURTHEST, _LATEST)
    )


def _numbers(found: Statistics) -> bytes:
    return np.concatenate([[found.count], found.total, found.squares]).astype("<f8").tobytes()


def _statistics(data: bytes, field: str) -> Statistics:
    numbers = np.frombuffer(data, "<f8")
    count, total, squares = float(numbers[0]), numbers[1 : 1 + _BINS], numbers[1 + _BINS :]
    # Comparisons with NaN are false.
    if not (0 < count <= _MOST_COUNT and bool((np.abs(numbers) <= _MOST_SUM).all())):
        raise ResumeTokenInvalid(f"`{field}` must tell of sound, but tells of none", field=field)
    return Statistics(count, total, squares)


def _short(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECK]
