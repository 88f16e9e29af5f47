"""Loads an encoder, in a precision that was tried on speech."""

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
    return in_precision(encoder, wanted, probe() if wanted is not Precision.FP32 else ())


def probe() -> list[Frames]:
    """Features of clips that come with the package, each in another language."""
    clips = {clip.language: clip for clip in samples.clips("archive")}
    chosen = list(clips.values())[:PROBE_CLIPS]
    return [features(decode(clip.data(), Door()).samples) for clip in chosen]
