"""The protocol keeps its promises, and others than Python can read it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import files as files_of
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from tests.service.processes import ROOT
from tests.service.protocol import PROMISED, files, promise

PROTOS = ROOT / "protos"
SOURCES = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))


def test_no_name_number_or_type_has_changed() -> None:
    promised, now = json.loads(PROMISED.read_text(encoding="utf-8")), promise()
    broken = [
        f"{name} was {was} and is {now.get(name, 'gone')}"
        for name, was in promised.items()
        if now.get(name) != was
    ]
    assert broken == []


def test_everything_there_is_promised() -> None:
    promised = json.loads(PROMISED.read_text(encoding="utf-8"))
    assert sorted(promise().keys() - promised.keys()) == [], "python -m tests.service.protocol"


def test_no_number_is_used_twice() -> None:
    promised = json.loads(PROMISED.read_text(encoding="utf-8"))
    seen: dict[tuple[str, int], str] = {}
    for name, what in (promised | promise()).items():
        if isinstance(what, dict) and "number" in what:
            place = name.rpartition(".")[0], what["number"]
            assert seen.setdefault(place, name) == name


def test_the_zero_of_every_enum_means_nothing_was_said() -> None:
    enums = [enum for file in files() for enum in file.enum_types_by_name.values()]
    assert len(enums) >= 7
    for enum in enums:
        assert enum.values_by_number[0].name.endswith("_UNSPECIFIED")


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the .proto files of googleapis-common-protos and nothing else."""
    folder = tmp_path_factory.mktemp("common")
    for file in files_of("googleapis-common-protos") or ():
        if file.suffix == ".proto":
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), target)
    assert (folder / "google/rpc/status.proto").is_file()
    # The package has it under a name that its own Python module does not register.
    operations = folder / "google/longrunning/operations_proto.proto"
    operations.rename(operations.with_name("operations.proto"))
    return folder


def compile_with(compiler: list[str], common: Path, *flags: str) -> None:
    ran = subprocess.run(
        [*compiler, f"-I{PROTOS}", f"-I{common}", *flags, *SOURCES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "warning" not in ran.stderr


@pytest.fixture(scope="module")
def compiled(common: Path) -> descriptor_pb2.FileDescriptorSet:
    """The files as protoc reads them now, with everything they import."""
    out = common / "set.bin"
    compiler = [sys.executable, "-m", "grpc_tools.protoc"]
    compile_with(compiler, common, f"--descriptor_set_out={out}", "--include_imports")
    return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


def test_the_files_need_googles_common_ones_alone(
    compiled: descriptor_pb2.FileDescriptorSet,
) -> None:
    names = {file.name for file in compiled.file}
    assert set(SOURCES) < names
    assert {name.split("/")[0] for name in names - set(SOURCES)} == {"google"}


def bare(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    """A file without what one compiler writes down and another does not."""
    found = descriptor_pb2.FileDescriptorProto()
    found.CopyFrom(file)
    for message in messages(found):
        for field in message.field:
            field.ClearField("json_name")
    return found


def messages(
    container: descriptor_pb2.FileDescriptorProto | descriptor_pb2.DescriptorProto,
) -> Iterator[descriptor_pb2.DescriptorProto]:
    if isinstance(container, descriptor_pb2.FileDescriptorProto):
        inner = container.message_type
    else:
        inner = container.nested_type
    for message in inner:
        yield message
        yield from messages(message)


def test_the_generated_code_is_of_these_files(compiled: descriptor_pb2.FileDescriptorSet) -> None:
    read = descriptor_pb2.FileDescriptorProto.FromString
    generated = {file.name: bare(read(file.serialized_pb)) for file in files()}
    theirs = {file.name: bare(file) for file in compiled.file if file.name in SOURCES}
    assert generated.keys() == theirs.keys()
    for name, file in generated.items():
        assert file == theirs[name], name


@pytest.mark.parametrize("language", ["cpp", "java", "csharp"])
def test_code_for_other_languages_can_be_generated(
    common: Path, tmp_path: Path, language: str
) -> None:
    protoc = shutil.which("protoc")
    if protoc is None:
        pytest.skip("needs protoc; the one of grpcio-tools writes Python alone")
    compile_with([protoc], common, f"--{language}_out={tmp_path}")
    assert [path for path in tmp_path.rglob("*") if path.is_file()]
