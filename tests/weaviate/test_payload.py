"""The caller's fields as properties of Weaviate's own types, and the payload as it came."""

import json
from typing import Any

import pytest
from vectorplug_weaviate.payload import conflict, decode, encode, fields_of, missing, property_of, size
from weaviate.classes.config import DataType

from vectorplug.search.hits import row_of


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        ({"a": 1, "b": 1.5, "c": "x", "d": True}, {"a": 1, "b": 1.5, "c": "x", "d": True}),
        ({"a": [1, 2.5], "b": ["x"], "c": [False]}, {"a": [1, 2.5], "b": ["x"], "c": [False]}),
        ({"a": None, "b": {}, "c": [], "d": [1, "x"], "e": [1, True], "f": [None], "g": [[1]]}, {}),
        ({"id": 1, "_id": "x", "vector": 1, "Vector": 1, "_vectorplug_id": 1, "a_searchable": "x"}, {}),
        ({"größe": 1, "a.b": 1, "": 1, "1a": 1, "a b": 1, "a" * 232: 1}, {}),
        ({"Title": "x", "URL": "y"}, {"title": "x", "uRL": "y"}),
        ({"Name": 1, "name": 2}, {"name": 2}),
    ],
)
def test_what_can_be_filtered_by(payload: dict[str, Any], fields: dict[str, Any]) -> None:
    assert fields_of(payload) == fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "boolean"),
        (3, "number"),
        (3.5, "number"),
        ("x", "text"),
        ([True], "boolean[]"),
        ([3, 3.5], "number[]"),
        (["x"], "text[]"),
    ],
)
def test_types(value: Any, expected: str) -> None:
    made = property_of("field", value)
    assert made.dataType.value == expected
    assert (made.tokenization is not None) == expected.startswith("text")


def test_the_text_is_cut_into_words_and_other_text_is_whole() -> None:
    text, topic = property_of("text", "a b"), property_of("topic", "a b")
    assert text.tokenization is not None
    assert topic.tokenization is not None
    assert (text.tokenization.value, text.indexSearchable) == ("word", True)
    assert (topic.tokenization.value, topic.indexSearchable) == ("field", False)


def test_only_unknown_properties_are_missing() -> None:
    rows = [row_of(1, "", {"a": 1}), row_of(2, "", {"a": "x", "b": "y"})]
    assert {name: each.dataType for name, each in missing(rows, {}).items()} == {
        "a": DataType.NUMBER,
        "b": DataType.TEXT,
    }
    assert list(missing(rows, {"a": DataType.TEXT})) == ["b"]


def test_a_field_of_another_type_is_a_conflict() -> None:
    known = {"a": DataType.NUMBER}
    assert conflict(row_of(1, "", {"a": 3}), known) is None
    assert conflict(row_of(1, "", {"a": None, "b": "new"}), known) is None
    said = conflict(row_of(1, "", {"A": "x"}), known)
    assert said is not None
    assert "'a' is text, in this collection number" in said


def test_what_comes_back_is_what_went_in() -> None:
    row = row_of("ключ", "", {"big": 2**63 - 1, "least": 5e-324, "text": "\x00", "nested": {"": [None, {"a.b": []}]}})
    stored = encode(row, [])
    assert decode(row.key, json.loads(json.dumps(stored))) == (row.id, row.payload)
    assert size(row) >= len(stored["_vectorplug_payload"].encode()) + len(stored["text"].encode())


def test_parts_are_about_equal() -> None:
    counts = [0] * 4
    for i in range(4000):
        counts[encode(row_of(i, "", {}), [])["_vectorplug_part"] * 4 // 4096] += 1
    assert min(counts) > 900
