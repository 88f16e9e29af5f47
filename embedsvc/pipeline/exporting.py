"""From a model to an export of it that was compared with its source on speech."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import AlreadyExists, DiskFull, FailedPrecondition
from embedsvc.pipeline.loading import probe
from embedsvc.types import ExportFormat

if TYPE_CHECKING:
    from embedsvc.encoder.onnx import Manifest, Quality


PROBES = "probes"
"""The folder of the probes that come with a model."""


def export(
    model: str,
    out: Path,
    kind: ExportFormat,
    layers: Sequence[int] = (),
    tell: Callable[["Quality"], None] = lambda _: None,
) -> "Manifest":
    """Write `model` to the directory `out`, all of it or nothing.

    Without `layers` it gives the default and the last one. `tell` gets the figures; when these are
    not enough, `FailedPrecondition` is raised and nothing stays.
    """
    # Imported here: its libraries are an extra.
    from embedsvc.encoder.onnx import compare, default_vector, open_exported, write  # noqa: PLC0415

    with _draft(out.absolute()) as draft:
        checkpoint = resolve(model)
        source = Encoder.load(checkpoint)
        asked = {source.resolve_layer(layer) for layer in layers or (source.defaults.layer, -1)}
        manifest = write(checkpoint, draft, kind, sorted(asked))
        if (checkpoint.directory / PROBES).is_dir():
            shutil.copytree(checkpoint.directory / PROBES, draft / PROBES)
        made, clips = open_exported(draft, manifest), probe()
        quality = compare(source, made, clips)
        tell(quality)
        if not quality.is_enough:
            raise FailedPrecondition(
                f"`format` {kind} changes the vectors of {source.name} too much: "
                f"{quality.fidelity}",
                field="format",
            )
        vector = default_vector(replace(source, defaults=made.defaults), clips[0])
        manifest = replace(manifest, quality=quality.document(), vector=tuple(map(float, vector)))
        manifest.write(draft)
    return manifest


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """A directory beside `out` that takes its name when all went well, and else is gone."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise AlreadyExists(f"`out` must be new or an empty directory, but is {out}", field="out")
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        draft.mkdir()
        yield draft
        draft.replace(out)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFull(f"`out` must have room, but its disk is full: {out}") from error
        raise
    finally:
        # Nothing is left of it once it has its name.
        shutil.rmtree(draft, ignore_errors=True)
