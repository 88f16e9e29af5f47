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
from embedsvc.timing import SAMPLE_RATE

_VERSION = 1
_CHECK = 8
_HEAD = struct.Struct("<B8sQQQQ?")
_BINS = 80
_BYTES = 8 * (1 + 2 * _BINS)
_SIZE = _HEAD.size + _BYTES
_LATEST = 10 * 365 * 24 * 3600 * SAMPLE_RATE
_FURTHEST = 120 * SAMPLE_RATE
"""Samples between the numbers of one place at most: a stretch and what is heard around it."""

_MOST_COUNT = 1e6
_MOST_SUM = 1e12


@dataclass(frozen=True)
class Place:
    """A place in a stream, in samples since its start.

    Audio is sent again from `sent` on, and what begins at `start` is told anew. `step` and `next`
    are where the encoder hears next and up to where the `statistics` have heard, whichever way
    round a mode has them. `speaks` says that somebody was in the middle of speech.
    """

    sent: int
    step: int
    start: int
    next: int
    statistics: Statistics
    speaks: bool = False


def token(place: Place, config: bytes) -> bytes:
    """A place of a stream with that config, as 1.4 KB."""
    places = (place.sent, place.step, place.start, place.next)
    head = _HEAD.pack(_VERSION, _short(config), *places, place.speaks)
    body = head + _numbers(place.statistics)
    return body + _short(body)


def place_of(data: bytes, config: bytes, field: str) -> Place:
    """The place that a token tells of.

    Raises ResumeTokenInvalid for bytes that are none, or of a stream with another config.
    """
    body, check = data[:-_CHECK], data[-_CHECK:]
    if len(body) != _SIZE or check != _short(body) or body[0] != _VERSION:
        raise ResumeTokenInvalid(
            f"`{field}` must be a token as a final brings it, but is not", field=field
        )
    _, made_for, sent, step, start, following, speaks = _HEAD.unpack(body[: _HEAD.size])
    places = (sent, step, start, following)
    if made_for != _short(config):
        raise ResumeTokenInvalid(
            f"`{field}` must be of a stream with the same config, but is of another", field=field
        )
    first, last = min(places), max(places)
    if places[0] != first or last - first > _FURTHEST or last > _LATEST or body[-_BYTES - 1] > 1:
        raise ResumeTokenInvalid(f"`{field}` must tell of a place, but tells none", field=field)
    statistics = _statistics(body[_HEAD.size :], field)
    return Place(sent, step, start, following, statistics, speaks=speaks)


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
