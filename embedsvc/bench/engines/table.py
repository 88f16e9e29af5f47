"""Which libraries there are to compare with, what each can run, and whether it is installed."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from embedsvc.bench.engines.engine import CPU, Engine, Job
from embedsvc.types import Precision


@dataclass(frozen=True)
class Library:
    """A library: our file for it, the packages it needs, and the precisions it can run.

    One that `converts` has checkpoints in a form of its own; `gpu` are those it can run on a GPU.
    """

    file: str
    packages: tuple[str, ...]
    precisions: tuple[str, ...]
    converts: bool = False
    gpu: tuple[str, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Packages that are not installed."""
        return tuple(name for name in self.packages if find_spec(name) is None)

    def runs(self, device: str) -> tuple[str, ...]:
        """The precisions it can run there."""
        return self.precisions if device == CPU else self.gpu


OURS = "embedsvc"
_EXPORT = ("transformers", "onnx", "onnxscript")

LIBRARIES = {
    OURS: Library(
        "ours",
        (),
        tuple(each for each in Precision if each is not Precision.AUTO),
        gpu=("fp32", "bf16"),
    ),
    "eager": Library("stock", ("transformers",), ("fp32",), gpu=("fp32",)),
    "sdpa": Library("stock", ("transformers",), ("fp32", "bf16"), gpu=("fp32", "bf16")),
    "ctranslate2": Library("ctranslate2", ("ctranslate2", "transformers"), ("fp32", "int8"), True),
    "onnxruntime": Library("onnxruntime", ("onnxruntime", *_EXPORT), ("fp32", "int8"), True),
    "openvino": Library("openvino", ("openvino", *_EXPORT), ("fp32", "bf16"), True),
}


def jobs(
    libraries: Sequence[str],
    precisions: Sequence[str],
    model: Path,
    scratch: Path,
    threads: int,
    device: str = CPU,
) -> list[Job]:
    """A job for each of `libraries` in each of `precisions` that it can run on the device."""
    return [
        Job(library, precision, model, scratch, threads, device)
        for library in libraries
        for precision in precisions
        if precision in LIBRARIES[library].runs(device)
    ]


def load(job: Job) -> list[Engine]:
    """Engines of a job, in this process."""
    engines: list[Engine] = _module(job).engines(job)
    return engines


def convert(job: Job) -> None:
    """Write the checkpoint in the form of the job's library, into its scratch folder."""
    _module(job).convert(job)


def _module(job: Job) -> Any:
    return import_module(f"embedsvc.bench.engines.{LIBRARIES[job.library].file}")
