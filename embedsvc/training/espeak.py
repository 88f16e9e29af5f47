"""Speech out of espeak-ng inside this process, with the time of each phone.

The library is called directly because its command does not tell when a phone begins. It keeps one
state for the whole process and can take the process down with it, so that work of any length
belongs in a process of its own.
"""

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embedsvc.errors import FailedPrecondition

LIBRARY = "libespeak-ng.so.1"

_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEMES_IN_IPA, _DO_NOT_EXIT = 1, 2, 0x8000
_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_END_OF_LIST, _PHONEME = 0, 7
_NAME_BYTES = 8
"""Bytes of a phoneme's name in an event; a longer one is cut."""


@dataclass(frozen=True)
class Voice:
    """A way of speaking: voice file of espeak-ng, variant ("" for none), and its settings.

    `rate` is words a minute; `pitch` and `range` go from 0 to 99.
    """

    name: str
    variant: str = ""
    rate: int = 175
    pitch: int = 50
    range: int = 50

    @property
    def identifier(self) -> str:
        """What espeak-ng calls the voice with its variant."""
        return f"{self.name}+{self.variant}" if self.variant else self.name

    @property
    def manner(self) -> tuple[float, float, float]:
        """How fast, high and lively it speaks, each about from 0 to 1."""
        return round(self.rate / 300, 3), round(self.pitch / 100, 3), round(self.range / 100, 3)


@dataclass(frozen=True)
class Spoken:
    """Samples (N,) at `sample_rate`; `phones` are IPA with the sample where each begins.

    A pause is a phone "".
    """

    samples: NDArray[np.int16]
    sample_rate: int
    phones: tuple[tuple[int, str], ...]


class Espeak:
    """The synthesizer of this process; raises `FailedPrecondition` when it is not installed."""

    def __init__(self) -> None:
        self._library, self.sample_rate = _library()
        self._random = ctypes.CDLL(None).srand
        self._blocks: list[NDArray[np.int16]] = []
        self._phones: list[tuple[int, str]] = []
        self._callback = _Callback(self._take)
        self._library.espeak_SetSynthCallback(self._callback)

    @property
    def version(self) -> str:
        """Version of the library, as in "1.51"."""
        return str(self._library.espeak_Info(None).decode())

    def has(self, voice: Voice) -> bool:
        """Choose `voice`, if there is one of that name."""
        return bool(self._library.espeak_SetVoiceByName(voice.identifier.encode()) == 0)

    def speak(self, text: str, voice: Voice) -> Spoken:
        """What `voice` makes of `text`; raises `FailedPrecondition` for a voice there is not.

        A little of what was said before remains: a new process that says the same texts in the same
        order gives the same bytes.
        """
        if not self.has(voice):
            raise FailedPrecondition(
                f"`voice` must be one of espeak-ng {self.version}, but is {voice.identifier}",
                field="voice",
            )
        self._blocks, self._phones = [], []
        # The noise of a voice comes from the generator of the C library.
        self._random(1)
        for parameter, value in ((_RATE, voice.rate), (_PITCH, voice.pitch), (_RANGE, voice.range)):
            self._library.espeak_SetParameter(parameter, value, 0)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        samples = np.concatenate(self._blocks) if self._blocks else np.empty(0, np.int16)
        return Spoken(samples, self.sample_rate, tuple(self._phones))

    def _take(self, wave: Any, count: int, events: Any) -> int:
        if wave and count > 0:
            self._blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        position = 0
        while events and events[position].type != _END_OF_LIST:
            event = events[position]
            if event.type == _PHONEME:
                self._phones.append((event.sample, _name(event)))
            position += 1
        return 0


def is_switched(spoken: Spoken) -> bool:
    """Whether part of the text was read as another language, such as "(en)"."""
    return any("(" in name for _, name in spoken.phones)


class _Id(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_void_p),
        ("string", ctypes.c_char * _NAME_BYTES),
    )


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback: Callable[..., Any] = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


def _name(event: _Event) -> str:
    """IPA of an event; the last letter is left out when the name was cut inside of it."""
    raw = ctypes.string_at(ctypes.addressof(event.id), _NAME_BYTES).split(b"\0")[0]
    return raw.decode(errors="ignore")


@cache
def _library() -> tuple[Any, int]:
    """The library, which may be initialized only once a process, and its sample rate."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise FailedPrecondition(
            f"`espeak-ng` must be installed to make speech, but {LIBRARY} is not found"
        ) from error
    library.espeak_Info.restype = ctypes.c_char_p
    pointer, whole = ctypes.c_void_p, ctypes.c_uint
    library.espeak_Synth.argtypes = (
        pointer, ctypes.c_size_t, whole, ctypes.c_int, whole, whole, pointer, pointer,
    )  # fmt: skip
    options = _PHONEME_EVENTS | _PHONEMES_IN_IPA | _DO_NOT_EXIT
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, options)
    if rate <= 0:
        raise FailedPrecondition("`espeak-ng` must have its data, but it cannot be read")
    return library, rate


def version() -> str:
    """Version of espeak-ng, as in "1.51"; raises `FailedPrecondition` when it is not installed."""
    library, _ = _library()
    found = re.match(r"[\d.]+", library.espeak_Info(None).decode())
    return found.group() if found else ""
