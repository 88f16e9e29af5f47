"""The protocol as plain data, to compare with what was promised.

`python -m tests.service.protocol` writes protocol_v1.json anew, after a field was added.
"""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

PROMISED = Path(__file__).with_name("protocol_v1.json")
MODULES = (
    "types",
    "operation",
    "classification",
    "embedding",
    "collection",
    "search",
    "server",
    "probe",
    "transcription",
)

Promise = dict[str, Any]
"""What a full name stands for."""


def files() -> list[FileDescriptor]:
    """Every file of the protocol, as the generated code has it."""
    return [importlib.import_module(f"embedsvc.v1.{name}_pb2").DESCRIPTOR for name in MODULES]


def promise() -> Promise:
    """Every field, enum value and method by its full name."""
    found: Promise = {}
    for generated in files():
        file = FileDescriptorProto.FromString(generated.serialized_pb)
        for message in file.message_type:
            found.update(_message(message, f"{file.package}.{message.name}"))
        for enum in file.enum_type:
            found.update(_enum(enum, f"{file.package}.{enum.name}"))
        for service in file.service:
            found.update(_service(service, f"{file.package}.{service.name}"))
    return dict(sorted(found.items()))


def _message(message: DescriptorProto, name: str) -> Iterator[tuple[str, Any]]:
    for field in message.field:
        kind = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        # An optional field has a group of its own, which is named after it.
        grouped = field.HasField("oneof_index")
        yield (
            f"{name}.{field.name}",
            {
                "number": field.number,
                "type": field.type_name.removeprefix(".") or kind,
                "repeated": field.label == FieldDescriptorProto.LABEL_REPEATED,
                "oneof": message.oneof_decl[field.oneof_index].name if grouped else None,
            },
        )
    for inner in message.nested_type:
        yield from _message(inner, f"{name}.{inner.name}")
    for enum in message.enum_type:
        yield from _enum(enum, f"{name}.{enum.name}")


def _enum(enum: EnumDescriptorProto, name: str) -> Iterator[tuple[str, Any]]:
    for value in enum.value:
        yield f"{name}.{value.name}", value.number


def _service(service: ServiceDescriptorProto, name: str) -> Iterator[tuple[str, Any]]:
    for method in service.method:
        yield (
            f"{name}.{method.name}",
            {
                "request": method.input_type.removeprefix("."),
                "response": method.output_type.removeprefix("."),
                "streams": [method.client_streaming, method.server_streaming],
            },
        )


def write() -> None:
    """Promise what the generated code has now."""
    PROMISED.write_text(json.dumps(promise(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
