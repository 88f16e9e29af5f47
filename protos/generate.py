#!/usr/bin/env python3
"""Generate `embedsvc/v1` from the .proto files beside this script.

Needs the versions of the dependency group `protos`: others write other code, which the
oldest runtime we support may not read.
"""

import argparse
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

PROTOS = Path(__file__).parent
ROOT = PROTOS.parent


def main() -> None:
    """Read the command line and generate."""
    parser = argparse.ArgumentParser(description="Generate embedsvc/v1 from the .proto files.")
    parser.add_argument("--out", type=Path, default=ROOT, help="folder that gets embedsvc/v1")
    sys.exit(generate(parser.parse_args().out))


def generate(out: Path) -> int:
    """Replace the generated files under `out`; the exit status of protoc."""
    package = out / "embedsvc" / "v1"
    package.mkdir(parents=True, exist_ok=True)
    for stale in package.glob("*_pb2*.py*"):
        stale.unlink()
    with tempfile.TemporaryDirectory() as named:
        name_operations(Path(named))
        return subprocess.run(command(out, Path(named)), check=False).returncode


def name_operations(folder: Path) -> None:
    """Put google/longrunning/operations.proto into `folder`.

    googleapis-common-protos ships it under another name than its own Python module registers.
    """
    shipped = Path(sysconfig.get_path("purelib")) / "google" / "longrunning"
    target = folder / "google" / "longrunning"
    target.mkdir(parents=True)
    shutil.copy(shipped / "operations_proto.proto", target / "operations.proto")


def command(out: Path, named: Path) -> list[str]:
    """How protoc is called; google/rpc lies in the site-packages of this interpreter."""
    plugins = Path(sysconfig.get_path("scripts"))
    sources = sorted((PROTOS / "embedsvc" / "v1").glob("*.proto"))
    return [
        sys.executable,
        *("-m", "grpc_tools.protoc"),
        f"--proto_path={PROTOS}",
        f"--proto_path={named}",
        f"--proto_path={sysconfig.get_path('purelib')}",
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        *(str(source.relative_to(PROTOS)) for source in sources),
    ]


if __name__ == "__main__":
    main()
