"""Records to rows and back."""

import math
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from sqlalchemy import RowMapping

from trivox.platform.errors import StoreError, UsageError
from trivox.platform.store.schema import field_types, is_nested

R = TypeVar("R")


@dataclass(frozen=True)
class RowCodec:
    """How the records of one kind become rows: scalars as they are, nested fields as JSON values."""

    kind: type[Any]
    record: TypeAdapter[Any]
    nested: dict[str, TypeAdapter[Any]]
    scalars: tuple[str, ...]

    def row(self, record: Any) -> dict[str, Any]:
        """Raises StoreError for a value that would not come back the same, UsageError for a text with NUL."""
        values = {name: self._scalar(record, name) for name in self.scalars}
        for name, adapter in self.nested.items():
            value = getattr(record, name)
            values[name] = None if value is None else self._json(record, name, value, adapter)
        return values

    def _scalar(self, record: Any, name: str) -> Any:
        value = getattr(record, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise StoreError(f"{_named(record)}: {name} is {value}: a figure is finite, or None")
        if isinstance(value, str) and "\0" in value:
            raise UsageError(
                f"{_named(record)}: {name} holds the character NUL, which PostgreSQL cannot keep: leave it out"
            )
        return value

    def _json(self, record: Any, name: str, value: Any, adapter: TypeAdapter[Any]) -> Any:
        try:
            # Not mode="json": that turns nan into None. JSON proper is made, or refused, by the engine.
            return adapter.dump_python(value, warnings="error")
        except (PydanticSerializationError, ValueError) as error:
            raise StoreError(f"{_named(record)}: {name} cannot be kept as JSON: {error}") from error

    def from_row(self, row: RowMapping) -> Any:
        try:
            return self.record.validate_python({k: row[k] for k in row if k != "seq"})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(map(str, first["loc"])) or "the record"
            raise StoreError(
                f"{self.kind.__name__} {row['id']}: {field} as stored is not valid: {first['msg']}"
            ) from error


def _named(record: Any) -> str:
    return f"{type(record).__name__} {record.id}"


_CODECS: dict[type[Any], RowCodec] = {}


def codec_of(kind: type[Any]) -> RowCodec:
    """Made on first use: the adapters take a millisecond each."""
    if kind not in _CODECS:
        _CODECS[kind] = _make_codec(kind)
    return _CODECS[kind]


def _make_codec(kind: type[Any]) -> RowCodec:
    types = field_types(kind)
    nested = {name: TypeAdapter(hint) for name, (hint, _) in types.items() if is_nested(hint)}
    scalars = tuple(name for name in types if name not in nested)
    return RowCodec(kind, TypeAdapter(kind), nested, scalars)
