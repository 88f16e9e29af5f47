"""Speech out of RHVoice inside this process.

The library is called directly because its command starts anew for each text, which takes longer
than saying it. As with espeak-ng, work of any length belongs in a process of its own.
"""

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARY = "libRHVoice.so.5"

_TEXT = 0
_GO_ON = 1
_OTHER_CALLBACKS = 7


class Engine:
    """The synthesizer of this process, with every voice that is installed."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._blocks: list[NDArray[np.int16]] = []
        self._sample_rate = 0
        self._callbacks = _Callbacks(_RateCallback(self._set_rate), _SoundCallback(self._take))
        start = _Start(callbacks=self._callbacks)
        self._engine = library.RHVoice_new_tts_engine(ctypes.byref(start))
        self.voices = self._voices() if self._engine else frozenset[str]()

    @property
    def version(self) -> str:
        """Version of the library, as in "1.14.0"."""
        return str(self._library.RHVoice_get_version().decode())

    def speak(
        self, text: str, voice: str, rate: float, pitch: float
    ) -> tuple[NDArray[np.int16], int]:
        """Samples (N,) of one of the `voices`, and their rate; 1 is its own `rate` and `pitch`."""
        self._blocks, self._sample_rate = [], 0
        data = text.encode()
        how = _Manner(
            voice_profile=voice.encode(),
            relative_rate=rate,
            relative_pitch=pitch,
            relative_volume=1.0,
        )
        message = self._library.RHVoice_new_message(
            self._engine, data, len(data), _TEXT, ctypes.byref(how), None
        )
        if message:
            self._library.RHVoice_speak(message)
            self._library.RHVoice_delete_message(message)
        samples = np.concatenate(self._blocks) if self._blocks else np.empty(0, np.int16)
        return samples, self._sample_rate

    def _voices(self) -> frozenset[str]:
        count = self._library.RHVoice_get_number_of_voices(self._engine)
        found = self._library.RHVoice_get_voices(self._engine)
        return frozenset(found[number].name.decode() for number in range(count))

    def _set_rate(self, sample_rate: int, _data: Any) -> int:
        self._sample_rate = sample_rate
        return _GO_ON

    def _take(self, wave: Any, count: int, _data: Any) -> int:
        self._blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        return _GO_ON


@cache
def engine() -> Engine | None:
    """The synthesizer, None when it is not installed."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    pointer, whole = ctypes.c_void_p, ctypes.c_uint
    library.RHVoice_get_version.restype = ctypes.c_char_p
    library.RHVoice_new_tts_engine.restype = pointer
    library.RHVoice_get_number_of_voices.argtypes = (pointer,)
    library.RHVoice_get_voices.argtypes = (pointer,)
    library.RHVoice_get_voices.restype = ctypes.POINTER(_Voice)
    library.RHVoice_new_message.argtypes = (
        pointer, ctypes.c_char_p, whole, ctypes.c_int, pointer, pointer,
    )  # fmt: skip
    library.RHVoice_new_message.restype = pointer
    library.RHVoice_speak.argtypes = (pointer,)
    library.RHVoice_delete_message.argtypes = (pointer,)
    return Engine(library)


_RateCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
_SoundCallback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_uint, ctypes.c_void_p
)


class _Callbacks(ctypes.Structure):
    """RHVoice_callbacks of RHVoice.h; the last are not used."""

    _fields_ = (
        ("set_sample_rate", _RateCallback),
        ("play_speech", _SoundCallback),
        ("others", ctypes.c_void_p * _OTHER_CALLBACKS),
    )


class _Start(ctypes.Structure):
    """RHVoice_init_params; paths that are not given are those it was built with."""

    _fields_ = (
        ("data_path", ctypes.c_char_p),
        ("config_path", ctypes.c_char_p),
        ("resource_paths", ctypes.c_void_p),
        ("callbacks", _Callbacks),
        ("options", ctypes.c_uint),
    )


class _Voice(ctypes.Structure):
    """RHVoice_voice_info."""

    _fields_ = (
        ("language", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("gender", ctypes.c_int),
        ("country", ctypes.c_char_p),
    )


class _Manner(ctypes.Structure):
    """RHVoice_synth_params; 0 leaves a setting as it is, but for relative ones it is 1."""

    _fields_ = (
        ("voice_profile", ctypes.c_char_p),
        ("absolute_rate", ctypes.c_double),
        ("absolute_pitch", ctypes.c_double),
        ("absolute_volume", ctypes.c_double),
        ("relative_rate", ctypes.c_double),
        ("relative_pitch", ctypes.c_double),
        ("relative_volume", ctypes.c_double),
        ("punctuation_mode", ctypes.c_int),
        ("punctuation_list", ctypes.c_char_p),
        ("capitals_mode", ctypes.c_int),
        ("flags", ctypes.c_int),
    )
