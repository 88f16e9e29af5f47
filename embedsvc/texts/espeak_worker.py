"""What runs in the child process: texts from standard input, names of phonemes to standard output.

    python -I -S espeak_worker.py LIBRARY DATA VOICE [VOICE ...]

LIBRARY is libespeak-ng, DATA the folder of its data or empty for its own, and of the voices the
first that it has is taken. Texts, and what is said of each, are parted by a zero byte. It reads
what anybody typed with a library in C, so that it has a process of its own, and imports nothing but
what Python brings.
"""

import ctypes
import sys

NO_LIBRARY, NO_VOICE = 3, 4
"""Exit codes."""

RETRIEVAL, DO_NOT_EXIT = 1, 0x8000
UTF8, IPA, PARTED = 1, 2, ord("_") << 8


def main(library: str, data: str, *voices: str) -> int:
    """Speak the texts of standard input, silently; the exit code."""
    try:
        espeak = ctypes.CDLL(library)
    except OSError:
        return NO_LIBRARY
    if espeak.espeak_Initialize(RETRIEVAL, 0, data.encode() or None, DO_NOT_EXIT) <= 0:
        return NO_LIBRARY
    if not any(espeak.espeak_SetVoiceByName(voice.encode()) == 0 for voice in voices):
        return NO_VOICE
    espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
    for each in sys.stdin.buffer.read().split(b"\0"):
        text = ctypes.c_char_p(each)
        while text.value:
            clause = espeak.espeak_TextToPhonemes(ctypes.byref(text), UTF8, IPA | PARTED)
            sys.stdout.buffer.write((clause or b"") + b"\n")
        sys.stdout.buffer.write(b"\0")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
