"""Typed metadata and filters as messages."""

from collections.abc import Mapping

from embedsvc import filters
from embedsvc.errors import InvalidArgument
from embedsvc.filters import MAX_DEPTH, And, Equals, Exists, Filter, In, Not, Or, Range
from embedsvc.types import Metadata, MetadataValue
from embedsvc.v1 import collection_pb2

_INT64 = range(-(2**63), 2**63)


def value_message(value: MetadataValue) -> collection_pb2.Value:
    """One value, by its kind."""
    match value:
        case bool():
            return collection_pb2.Value(boolean=value)
        case int():
            if value not in _INT64:
                raise InvalidArgument(f"`metadata` integers must fit 64 bits, but one is {value}")
            return collection_pb2.Value(integer=value)
        case float():
            return collection_pb2.Value(number=value)
        case str():
            return collection_pb2.Value(text=value)
        case _:
            raise InvalidArgument(
                f"`metadata` must be texts, numbers and booleans, but one is {value!r}",
                field="metadata",
            )


def value(message: collection_pb2.Value, field: str) -> MetadataValue:
    """The value that is set."""
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidArgument(f"`{field}` must be a text, number or boolean", field=field)
    found: MetadataValue = getattr(message, kind)
    return found


def metadata(messages: Mapping[str, collection_pb2.Value], field: str) -> Metadata:
    """A recording's metadata."""
    return {name: value(message, f"{field}[{name!r}]") for name, message in messages.items()}


def metadata_message(metadata: Metadata) -> dict[str, collection_pb2.Value]:
    """A recording's metadata, to fill a map field."""
    return {name: value_message(item) for name, item in metadata.items()}


def condition(message: collection_pb2.Filter, field: str = "filter", depth: int = 1) -> Filter:
    """The filter of a message, of a size we evaluate."""
    if depth > MAX_DEPTH:
        raise InvalidArgument(f"`filter` must be nested at most {MAX_DEPTH} deep", field="filter")
    kind = message.WhichOneof("condition")
    found = _condition(message, kind, field, depth)
    return filters.check(found) if depth == 1 else found


def _condition(message: collection_pb2.Filter, kind: str | None, field: str, depth: int) -> Filter:
    inner = f"{field}.{kind}"
    match kind:
        case "equals":
            name = _named(message.equals.field, inner)
            return Equals(name, value(message.equals.value, f"{inner}.value"))
        case "one_of":
            name = _named(message.one_of.field, inner)
            return In(name, tuple(value(v, f"{inner}.values") for v in message.one_of.values))
        case "range":
            return _range(message.range, inner)
        case "exists":
            return Exists(_named(message.exists.field, inner))
        case "all_of" | "any_of":
            listed = getattr(message, kind).filters
            clauses = (
                condition(clause, f"{inner}.filters[{place}]", depth + 1)
                for place, clause in enumerate(listed)
            )
            return And(tuple(clauses)) if kind == "all_of" else Or(tuple(clauses))
        case "negated":
            return Not(condition(message.negated, inner, depth + 1))
        case _:
            raise InvalidArgument(f"`{field}` must have a condition", field=field)


def _range(message: collection_pb2.Filter.Range, field: str) -> Range:
    bounds: dict[str, str | float] = {}
    for name in ("gt", "gte", "lt", "lte"):
        if message.HasField(name):
            bound = value(getattr(message, name), f"{field}.{name}")
            if isinstance(bound, bool):
                raise InvalidArgument(
                    f"`{field}.{name}` must be a text or number, but is a boolean",
                    field=f"{field}.{name}",
                )
            bounds[name] = bound
    if not bounds:
        raise InvalidArgument(f"`{field}` must have a bound", field=field)
    return Range(_named(message.field, field), **bounds)


def _named(name: str, field: str) -> str:
    if not name:
        raise InvalidArgument(
            f"`{field}.field` must be a name, but is empty", field=f"{field}.field"
        )
    return name


def condition_message(  # noqa: PLR0911  # one for each kind
    condition: Filter,
) -> collection_pb2.Filter:
    """A filter as a message."""
    message = collection_pb2.Filter
    match condition:
        case Equals(field, wanted):
            return message(equals=message.Equals(field=field, value=value_message(wanted)))
        case In(field, values):
            return message(one_of=message.In(field=field, values=map(value_message, values)))
        case Range(field=field):
            bounds = {
                name: value_message(bound)
                for name in ("gt", "gte", "lt", "lte")
                if (bound := getattr(condition, name)) is not None
            }
            return message(range=message.Range(field=field, **bounds))
        case Exists(field):
            return message(exists=message.Exists(field=field))
        case And(clauses):
            return message(all_of=message.List(filters=map(condition_message, clauses)))
        case Or(clauses):
            return message(any_of=message.List(filters=map(condition_message, clauses)))
        case Not(clause):
            return message(negated=condition_message(clause))
