"""The kernels are there where the machine can run them, and nowhere else."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from embedsvc.encoder.native import loader as module
from embedsvc.encoder.native.loader import FILE, NEEDED, library


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A library that is looked for anew."""
    monkeypatch.setattr(module, "library", library.__wrapped__)
    return monkeypatch


@pytest.mark.skipif(platform.machine() != "x86_64", reason="kernels are for x86-64")
def test_installing_the_package_builds_them() -> None:
    assert FILE.is_file(), "run `make install`, or `pip install .`, which compiles them"


def test_they_are_loaded_where_the_processor_has_what_they_need() -> None:
    flags = module._processor_flags()
    assert (library() is not None) == (FILE.is_file() and flags >= NEEDED)


def test_a_processor_without_the_instructions_gets_none(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(module, "_processor_flags", lambda: NEEDED - {"avx512_vnni"})
    assert module.library() is None


def test_a_package_without_the_library_gets_none(fresh: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fresh.setattr(module, "FILE", tmp_path / "libkernels.so")
    assert module.library() is None


@pytest.mark.skipif(library() is None, reason="a processor without AVX-512")
def test_they_run_on_the_threads_of_torch() -> None:
    code = (
        "import os, torch\n"
        "from embedsvc.encoder import native\n"
        "torch.set_num_threads(2)\n"
        "x = torch.randn(4000, 64)\n"
        "(x @ x.T).sum()\n"  # torch starts its threads
        "before = len(os.listdir('/proc/self/task'))\n"
        "native.quantize(x, None, swished=True)\n"
        "assert len(os.listdir('/proc/self/task')) == before, 'threads of its own'\n"
        "assert before > 1\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
