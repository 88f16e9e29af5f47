"""Loads an encoder, in a precision that was tried on speech."""

from dataclasses import replace
from pathlib import Path

from embedsvc import samples
from embedsvc.audio import Door, decode, features
from embedsvc.encoder import (
    Encoder,
    in_precision,
    read_projection_file,
    resolve,
    return_freed,
)
from embedsvc.encoder.ctc import load_heads
from embedsvc.errors import FailedPrecondition, InvalidArgument
from embedsvc.pipeline.heads import Heads
from embedsvc.pipeline.judging import judges
from embedsvc.types import Frames, Precision, Runtime

PROBE_CLIPS = 12
"""Of as many languages; half a minute of speech."""


def load(
    model: str,
    threads: int | None = None,
    device: str = "cpu",
    wanted: Precision = Precision.FP32,
    runtime: Runtime = Runtime.TORCH,
    projections: Path | None = None,
) -> Encoder:
    """Encoder of `mini`, a directory or OWNER/NAME on the Hugging Face Hub.

    With onnxruntime, of a directory that was exported; its precision was chosen then. The file
    `projections` adds to those that the model brings. Raises `FailedPrecondition` when the wanted
    precision is not near enough to float32.
    """
    return load_all(model, threads, device, wanted, runtime, projections)[0]


def load_all(
    model: str,
    threads: int | None = None,
    device: str = "cpu",
    wanted: Precision = Precision.FP32,
    runtime: Runtime = Runtime.TORCH,
    projections: Path | None = None,
) -> tuple[Encoder, Heads]:
    """As `load`, with the CTC heads that the model brings; an exported one brings none."""
    heads = Heads(())
    if runtime is Runtime.ONNXRUNTIME:
        encoder = _exported(model, threads, device, wanted)
    else:
        checkpoint = resolve(model)
        encoder = Encoder.load(checkpoint, threads, device)
        # A head that reads another body's states, such as one with adapters, is not of this one.
        heads = Heads(head for head in load_heads(checkpoint) if not head.adapter)
        if wanted is not Precision.FP32:
            encoder = in_precision(encoder, wanted, probe(), judges(encoder))
        return_freed()
    if projections is None:
        return encoder, heads
    more = read_projection_file(projections.expanduser(), encoder.dim, encoder.layers)
    return encoder.with_projections(more), heads


def _exported(model: str, threads: int | None, device: str, wanted: Precision) -> Encoder:
    # Imported here: its libraries are an extra.
    from embedsvc.encoder.onnx import load_exported  # noqa: PLC0415

    if device != "cpu":
        raise InvalidArgument(
            f"`device` must be cpu with `runtime` onnxruntime, but is {device!r}", field="device"
        )
    directory = Path(model).expanduser()
    encoder = replace(load_exported(directory, probe()[0], threads), directory=directory)
    # The default of the settings is fp32, and does not mean that anybody asked for it.
    if wanted not in {Precision.FP32, Precision.AUTO, encoder.precision}:
        raise FailedPrecondition(
            f"`precision` must be that of the export, {encoder.precision}, but is {wanted}",
            field="precision",
        )
    return encoder


def probe() -> list[Frames]:
    """Features of clips that come with the package, each in another language."""
    clips = {clip.language: clip for clip in samples.clips("archive")}
    chosen = list(clips.values())[:PROBE_CLIPS]
    return [features(decode(clip.data(), Door()).samples) for clip in chosen]
