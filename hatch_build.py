"""Compiles the C of `embedsvc.encoder.native` and `embedsvc.ctc.native` when the package is built.

The compiler comes from the package index like any other build requirement, so that users need none
and everybody has the same. Where there are no kernels for the machine, the wheel is pure Python.
"""

import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


@dataclass(frozen=True)
class Library:
    """What the C files of a folder become, and the instructions that they need."""

    folder: Path
    name: str
    features: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where it is in the tree."""
        return self.folder / self.name


LIBRARIES = (
    Library(
        Path("embedsvc/encoder/native"),
        "libkernels.so",
        ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "fma", "f16c"),
    ),
    Library(Path("embedsvc/ctc/native"), "libsearch.so"),
)
OLDEST_GLIBC = "2.17"
"""Of the platform tag manylinux2014, which the libraries keep to."""


class KernelsHook(BuildHookInterface[Any]):
    """Adds the libraries to wheels, and to the tree of an editable installation."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile where there is something to compile for."""
        del version
        if sys.platform != "linux" or platform.machine() != "x86_64":
            return
        for library in LIBRARIES:
            compile_library(Path(self.root), library)
            build_data["artifacts"].append(f"/{library.path.as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-manylinux2014_x86_64"


def compile_library(root: Path, library: Library) -> None:
    """Write a library beside its sources; another process never sees half of it."""
    sources = sorted((root / library.folder).glob("*.c"))
    with tempfile.TemporaryDirectory(dir=root / library.folder, prefix=".build-") as folder:
        made = Path(folder) / library.name
        command = [
            *(sys.executable, "-m", "ziglang", "cc", "-target", f"x86_64-linux-gnu.{OLDEST_GLIBC}"),
            *("-O3", "-s", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"),
            *(f"-m{feature}" for feature in library.features),
            *("-o", str(made), *map(str, sources), "-lm"),
        ]
        caches = {f"ZIG_{kind}_CACHE_DIR": f"{folder}/{kind}" for kind in ("GLOBAL", "LOCAL")}
        subprocess.run(command, check=True, env=os.environ | caches)
        made.replace(root / library.path)
