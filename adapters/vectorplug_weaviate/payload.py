"""What an object's properties hold: the caller's fields in Weaviate's own types, and the whole payload as it came.

Weaviate's types cannot hold every JSON (nested lists, integers of 64 bits, the order of fields), so what is given back
is the payload's JSON, which is not indexed; the typed fields beside it are there to filter by.
"""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel
from weaviate.classes.config import DataType, Property, Tokenization

from vectorplug.encoded import OUTPUTS
from vectorplug.search.hits import Id, Row
from vectorplug.search.ingest import TEXT
from vectorplug_weaviate.schema import CONTENT, ID, PART, PARTS, PAYLOAD

__all__ = [
    "NO_CONTENT",
    "Content",
    "conflict",
    "decode",
    "encode",
    "fields_of",
    "missing",
    "part_of",
    "property_name",
    "property_of",
    "size",
    "text_in",
]

NAME = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,230}")
RESERVED = re.compile(
    "_?id|_additional|vector|_vectorplug.*|.*(_searchable|_rangeable|_temp|__meta_count|_propertyLength|_nullState)"
)
# Weaviate compares an int with a number property, so one type takes the 3 of one document and the 3.5 of another.
SCALARS = {bool: DataType.BOOL, int: DataType.NUMBER, float: DataType.NUMBER, str: DataType.TEXT}
LISTS = {
    DataType.BOOL: DataType.BOOL_ARRAY,
    DataType.NUMBER: DataType.NUMBER_ARRAY,
    DataType.TEXT: DataType.TEXT_ARRAY,
}
# FDEs of a refit: the digits of a name, in two places of 29 bits, the highest of which says that there is one.
REFIT = "fde_"
FDE_OF_REFIT = re.compile(REFIT + "[0-9a-f]{7,}")
REFITTED = (3, 32)
REFIT_THERE = 1 << 28
# A property that the caller added to the schema beforehand may have one of these types instead.
ALSO = {DataType.NUMBER: {DataType.INT}, DataType.TEXT: {DataType.DATE, DataType.UUID}}


def fields_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Property name -> value, of those fields that Weaviate can filter by: scalars and lists of scalars of one type.

    Weaviate's names are letters, digits and underscores and begin with a small letter.
    """
    fields = {}
    for name, value in payload.items():
        small = property_name(name)
        taken = small != name and small in payload
        if NAME.fullmatch(name) and not RESERVED.fullmatch(small) and not taken and _type_of(value) is not None:
            fields[small] = value
    return fields


def property_of(name: str, value: Any) -> Property:
    """How a field is kept: the text cut into words (for BM25, too), any other str whole, so that equal means equal."""
    data_type = _type_of(value)
    assert data_type is not None
    textual = data_type in (DataType.TEXT, DataType.TEXT_ARRAY)
    words = name == TEXT
    return Property(
        name=name,
        data_type=data_type,
        tokenization=(Tokenization.WORD if words else Tokenization.FIELD) if textual else None,
        index_searchable=words if textual else None,
    )


def missing(rows: Iterable[Row], known: Mapping[str, DataType]) -> dict[str, Property]:
    """Properties that the schema lacks, by name, typed by the first document that has them."""
    found: dict[str, Property] = {}
    for name, value in chain.from_iterable(fields_of(row.payload).items() for row in rows):
        if name not in known and name not in found:
            found[name] = property_of(name, value)
    return found


def conflict(row: Row, known: Mapping[str, DataType]) -> str | None:
    """Why a document's fields do not go into the schema, which has one type a field."""
    for name, value in fields_of(row.payload).items():
        data_type = _type_of(value)
        assert data_type is not None
        if known.get(name, data_type) not in {data_type, *ALSO.get(data_type, ())}:
            return (
                f"its field {name!r} is {data_type.value}, in this collection {known[name].value}: Weaviate has one "
                "type a field, rename it or write it alike everywhere"
            )
    return None


@dataclass(frozen=True, slots=True)
class Content:
    """What an object's vectors were made from, as a hash of 16 hex digits, and which they are.

    It is kept in the property CONTENT as a UUID: a change of any text makes Weaviate ask its modules for new vectors.
    FDEs of a refit are known by the first digits of their name; there is room for two, those before and after.
    """

    hash: str
    vectors: frozenset[str]

    @classmethod
    def of(cls, properties: Mapping[str, Any]) -> Self:
        """Nothing and none, of an object that another program wrote."""
        stored = properties.get(CONTENT)
        if stored is None:
            return cls("", frozenset())
        digits = UUID(str(stored)).hex
        held = int(digits[16:], 16)
        names: set[str] = {name for i, name in enumerate(OUTPUTS) if held >> i & 1}
        for begin in REFITTED:
            if held >> begin & REFIT_THERE:
                names.add(f"{REFIT}{held >> begin & REFIT_THERE - 1:07x}")
        return cls(digits[:16], frozenset(names))

    @classmethod
    def made(cls, made_of: str, names: Iterable[str]) -> Self:
        """Of the vectors of those names."""
        return cls(made_of, frozenset(map(_known, names)))

    def has(self, name: str) -> bool:
        """Whether the vector of that name is among them."""
        return _known(name) in self.vectors

    def __str__(self) -> str:
        held = sum(1 << i for i, name in enumerate(OUTPUTS) if name in self.vectors)
        refitted = sorted(name for name in self.vectors if name not in OUTPUTS)
        for begin, name in zip(REFITTED, refitted, strict=False):
            held |= (REFIT_THERE | int(name.removeprefix(REFIT), 16)) << begin
        return str(UUID(f"{self.hash:0>16}{held:016x}"))


def _known(name: str) -> str:
    """What an object says of a vector of that name."""
    return name[: len(REFIT) + 7] if FDE_OF_REFIT.fullmatch(name) else name


NO_CONTENT = str(Content("", frozenset()))


def encode(row: Row, vectors: Collection[str]) -> dict[str, Any]:
    """The properties to store of a document with vectors of these names."""
    return {
        **fields_of(row.payload),
        ID: json.dumps(row.id),
        CONTENT: str(Content.made(row.content, vectors)),
        PAYLOAD: json.dumps(row.payload, ensure_ascii=False),
        PART: part_of(row.key),
    }


def part_of(key: str) -> int:
    """The part, of PARTS, that an object is in."""
    return int(key[:8], 16) % PARTS


def size(row: Row) -> int:
    """Bytes of the properties, or a little more: the fields and their JSON hold the same twice."""
    return 2 * len(json.dumps(row.payload, ensure_ascii=False).encode()) + len(json.dumps(row.id))


def decode(key: str, properties: Mapping[str, Any]) -> tuple[Id, dict[str, Any]]:
    """The caller's id and payload; of an object that another program wrote, its key and its properties as JSON."""
    if properties.get(ID) is not None:
        payload = properties.get(PAYLOAD)
        return json.loads(properties[ID]), {} if payload is None else json.loads(payload)
    own = (ID, CONTENT, PAYLOAD, PART)
    return key, {name: _json(value) for name, value in properties.items() if value is not None and name not in own}


def text_in(properties: Mapping[str, Any], field: str) -> str | None:
    """The text of the payload's `field`; None where it is no str."""
    stored = properties.get(PAYLOAD)
    text = properties.get(property_name(field)) if stored is None else json.loads(stored).get(field)
    return text if isinstance(text, str) else None


def property_name(field: str) -> str:
    """What Weaviate calls a field: the first letter small."""
    return field[:1].lower() + field[1:]


def _json(value: Any) -> Any:
    """One of Weaviate's values as JSON."""
    match value:
        case datetime():
            return value.isoformat()
        case UUID():
            return str(value)
        case BaseModel():
            return value.model_dump(mode="json")
        case list():
            return [_json(each) for each in value]
        case dict():
            return {name: _json(each) for name, each in value.items() if each is not None}
        case _:
            return value


def _type_of(value: Any) -> DataType | None:
    """Of a scalar or of a list of scalars of one type; None for what Weaviate has no filter for."""
    if not isinstance(value, list | tuple):
        return SCALARS.get(type(value))
    types = {SCALARS.get(type(item)) for item in value}
    only = types.pop() if len(types) == 1 else None
    return None if only is None else LISTS[only]
