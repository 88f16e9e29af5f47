"""Where, when and with what a figure was measured; none is of use without."""

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from embedsvc.version import version

PACKAGES = (
    "torch",
    "transformers",
    "ctranslate2",
    "onnxruntime",
    "openvino",
    "numpy",
    "faiss-cpu",
    "apsw",
    "grpcio",
    "protobuf",
)
"""Those whose version may change a figure; the ones that are installed are told."""

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
_GIBIBYTE = 2**30


def about(command: str) -> dict[str, Any]:
    """All that has to stand beside the figures that `command` gives."""
    return {
        "command": command,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions(),
    }


def machine() -> dict[str, Any]:
    """Processor, cores this process may use, what they can compute with, memory, and its load."""
    processor = _processor()
    flags = processor.get("flags", "").split()
    return {
        "processor": processor.get("model name", platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "flags": [flag for flag in _FLAGS if flag in flags],
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIBIBYTE),
        "load_average": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Of this package, Python, and what is installed of `PACKAGES`."""
    found = {"embedsvc": version(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def told(about: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    where = about["machine"]
    numbers = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return (
        f"{about['date']}; {where['processor']}, {where['cores']} cores "
        f"({', '.join(where['flags'])}), {where['memory_gib']} GiB, load average "
        f"{where['load_average']} at the end; {numbers}"
    )


def _processor() -> Mapping[str, str]:
    """What /proc/cpuinfo says of the first core; empty where it says nothing."""
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
