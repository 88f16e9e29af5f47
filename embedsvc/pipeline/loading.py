"""Loads an encoder, in a precision that was tried on speech."""

import ctypes

from embedsvc import samples
from embedsvc.audio import Door, decode, features
from embedsvc.encoder import Encoder, in_precision, resolve
from embedsvc.types import Frames, Precision

PROBE_CLIPS = 12
"""Of as many languages; half a minute of speech."""


def load(
    model: str,
    threads: int | None = None,
    device: str = "cpu",
    wanted: Precision = Precision.FP32,
) -> Encoder:
    """Encoder of `mini`, a directory or OWNER/NAME on the Hugging Face Hub.

    Raises `FailedPrecondition` when the wanted precision is not near enough to float32.
    """
    encoder = Encoder.load(resolve(model), threads, device)
    if wanted is not Precision.FP32:
        encoder = in_precision(encoder, wanted, probe())
    _return_memory()
    return encoder


def probe() -> list[Frames]:
    """Features of clips that come with the package, each in another language."""
    clips = {clip.language: clip for clip in samples.clips("archive")}
    chosen = list(clips.values())[:PROBE_CLIPS]
    return [features(decode(clip.data(), Door()).samples) for clip in chosen]


def _return_memory() -> None:
    """Give the system back what loading took and freed: up to twice the size of the weights.

    Of the GNU C library, which keeps blocks smaller than 32 MiB for itself; others do not.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
