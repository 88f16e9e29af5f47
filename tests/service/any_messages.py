"""Messages of any content: made from nothing, or from one that is right with some of it changed."""

import math
from collections.abc import Iterator
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.service.calls import file_of, s16, speech

DEEPEST = 6
_WAV, _PCM = file_of(speech(0.5)), s16(speech(0.5))

TEXTS = (
    "", "talks", "r1", "kind", "a", "mini", "phones", "eng", "language", "semantic", "operations/1",
    "../../etc/passwd", "a/b", "x" * 300, "\0", "é🙂", 'kind = "a"', "and", "*", "t e l", "config",
)  # fmt: skip
BYTES = (b"", b"x", _WAV, _PCM, bytes(1000), b"RIFF" + b"\xff" * 60, _WAV[:100], b"\x08\x01" * 20)
REALS = (0.0, 1.0, -1.0, 0.5, 2.0, 1e30, 1e-30, math.nan, math.inf, -math.inf)
INTEGERS = (0, 1, 2, 3, 10, 100, 16_000, -1)
_BOUNDS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def filled(random: Random, message: Message, share: float, depth: int = 0) -> Message:
    """The message with a `share` of its fields set to anything."""
    for field in message.DESCRIPTOR.fields:
        if random.random() < share and depth < DEEPEST:
            _set(random, message, field, share, depth)
    return message


def changed(random: Random, message: Message) -> Message:
    """A copy with one to three of its fields, at any depth, changed."""
    copy = type(message)()
    copy.CopyFrom(message)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        parent, field = random.choice(list(_fields(copy)))
        if random.random() < 0.15:
            parent.ClearField(field.name)
        elif field.is_repeated and not _is_map(field) and random.random() < 0.5:
            _repeat(random, getattr(parent, field.name))
        else:
            _set(random, parent, field, random.choice((0.0, 0.3, 0.6)), 0)
    return copy


def _fields(message: Message) -> Iterator[tuple[Message, Any]]:
    """Every field of a message and of the messages in it, each with the message it is of."""
    yield from ((message, field) for field in message.DESCRIPTOR.fields)
    for field, value in message.ListFields():
        if field.message_type and not _is_map(field):
            for each in value if field.is_repeated else (value,):
                yield from _fields(each)


def _set(random: Random, message: Message, field: Any, share: float, depth: int) -> None:
    if _is_map(field):
        key = _scalar(random, field.message_type.fields_by_name["key"])
        values = getattr(message, field.name)
        _, value = field.message_type.fields
        if value.message_type:
            filled(random, values[key], share, depth + 1)
        else:
            values[key] = _scalar(random, value)
    elif field.is_repeated:
        values = getattr(message, field.name)
        for _ in range(random.randint(1, 3)):
            if field.message_type:
                filled(random, values.add(), share, depth + 1)
            else:
                values.append(_scalar(random, field))
    elif field.message_type:
        part = getattr(message, field.name)
        part.SetInParent()
        filled(random, part, share, depth + 1)
    else:
        setattr(message, field.name, _scalar(random, field))


def _repeat(random: Random, values: Any) -> None:
    """One more of what is there, or one less."""
    if values and random.random() < 0.5:
        del values[random.randrange(len(values))]
    elif values:
        values.append(values[random.randrange(len(values))])


def _scalar(random: Random, field: Any) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            return random.choice(TEXTS)
        case FieldDescriptor.TYPE_BYTES:
            return random.choice(BYTES)
        case FieldDescriptor.TYPE_BOOL:
            return random.random() < 0.5
        case FieldDescriptor.TYPE_FLOAT | FieldDescriptor.TYPE_DOUBLE:
            return random.choice(REALS)
        case FieldDescriptor.TYPE_ENUM:
            return random.choice([*(each.number for each in field.enum_type.values), 99])
    least, most = _BOUNDS[field.cpp_type]
    return random.choice([least, most, *(each for each in INTEGERS if least <= each <= most)])


def _is_map(field: Any) -> bool:
    return bool(field.message_type and field.message_type.GetOptions().map_entry)
