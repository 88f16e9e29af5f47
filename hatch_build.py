"""Compiles the kernels of `embedsvc.encoder.native` when the package is built.

The compiler comes from the package index like any other build requirement, so that users need none
and everybody has the same. Where there are no kernels for the machine, the wheel is pure Python.
"""

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = Path("embedsvc/encoder/native")
LIBRARY = KERNELS / "libkernels.so"
FEATURES = ("avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "fma", "f16c")
OLDEST_GLIBC = "2.17"
"""Of the platform tag manylinux2014, which the library keeps to."""


class KernelsHook(BuildHookInterface[Any]):
    """Adds the library of kernels to wheels, and to the tree of an editable installation."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile where there is something to compile for."""
        del version
        if sys.platform != "linux" or platform.machine() != "x86_64":
            return
        compile_kernels(Path(self.root))
        build_data["artifacts"].append(f"/{LIBRARY.as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-manylinux2014_x86_64"


def compile_kernels(root: Path) -> None:
    """Write the library beside its sources; another process never sees half of it."""
    sources = sorted((root / KERNELS).glob("*.c"))
    with tempfile.TemporaryDirectory(dir=root / KERNELS, prefix=".build-") as folder:
        made = Path(folder) / LIBRARY.name
        command = [
            *(sys.executable, "-m", "ziglang", "cc", "-target", f"x86_64-linux-gnu.{OLDEST_GLIBC}"),
            *("-O3", "-s", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"),
            *(f"-m{feature}" for feature in FEATURES),
            *("-o", str(made), *map(str, sources)),
        ]
        caches = {f"ZIG_{kind}_CACHE_DIR": f"{folder}/{kind}" for kind in ("GLOBAL", "LOCAL")}
        subprocess.run(command, check=True, env=os.environ | caches)
        made.replace(root / LIBRARY)
