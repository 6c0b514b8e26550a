"""What is read of somebody else's objects, and what their collection is changed to."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vectorplug_weaviate.layout import extended, lacking_properties
from vectorplug_weaviate.payload import NO_CONTENT, Content, decode, encode, text_in
from vectorplug_weaviate.schema import described, description_of
from weaviate.classes.data import GeoCoordinate

from vectorplug.encoded import OUTPUTS
from vectorplug.errors import StoreError
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import content_hash, row_of

INFO = CollectionInfo(dims={"tokens": 128, "fde": 256}, mode="fde+rerank", adopted=True)
KEY = "a9b1fcc7-e6d1-425c-bfd7-4fdf4d64fa02"


@given(st.text(), st.sets(st.sampled_from(OUTPUTS)))
def test_content_comes_back(text: str, vectors: set[Any]) -> None:
    content = Content(content_hash(text, {}), frozenset(vectors))
    assert Content.of({"_vectorplug_content": UUID(str(content))}) == content


def test_no_content() -> None:
    assert Content.of({}) == Content.of({"_vectorplug_content": None}) == Content("", frozenset())
    assert Content.of({"_vectorplug_content": UUID(NO_CONTENT)}).vectors == frozenset()


def test_theirs_as_json() -> None:
    properties = {
        "body": "sea",
        "when": datetime(2020, 1, 2, tzinfo=UTC),
        "link": UUID(KEY),
        "where": GeoCoordinate(latitude=1.5, longitude=2.5),
        "parts": [{"when": datetime(2020, 1, 2, tzinfo=UTC), "none": None}],
        "none": None,
        "_vectorplug_content": UUID(NO_CONTENT),
        "_vectorplug_part": 3,
        "_vectorplug_id": None,
        "_vectorplug_payload": None,
    }
    document_id, payload = decode(KEY, properties)
    assert document_id == KEY
    assert json.loads(json.dumps(payload)) == payload
    assert payload == {
        "body": "sea",
        "when": "2020-01-02T00:00:00+00:00",
        "link": KEY,
        "where": {"latitude": 1.5, "longitude": 2.5},
        "parts": [{"when": "2020-01-02T00:00:00+00:00"}],
    }


def test_the_text_of_a_field() -> None:
    assert text_in({"body": "sea"}, "Body") == "sea"
    assert text_in({"body": ["sea"]}, "body") is None
    assert text_in({}, "body") is None
    ours = encode(row_of(1, "", {"Body": "sea", "more": {"a": 1}}), ["fde"])
    assert text_in(ours | {"body": "their change of a property"}, "Body") == "sea"
    assert text_in(ours, "more") is None


@pytest.mark.parametrize("theirs", ["", "What we wrote.", "two\n\nparts", '{"json": 1}'])
def test_a_description_of_two(theirs: str) -> None:
    assert description_of(described(theirs, INFO), "here") == (theirs, INFO)
    assert description_of(theirs, "here") == (theirs, None)


def test_a_description_that_was_changed_by_hand() -> None:
    with pytest.raises(StoreError, match=r"here holds a description.*cannot read"):
        description_of("mine\n\nvectorplug: {}", "here")


def test_what_is_there_stays() -> None:
    schema = {"class": "Docs", "description": "mine", "vectorConfig": {"theirs": {"vectorizer": {"none": {}}}}, "x": 1}
    changed = extended(schema, INFO, {})
    assert (changed["x"], changed["vectorConfig"]["theirs"]) == (1, schema["vectorConfig"]["theirs"])  # type: ignore[index]
    assert list(changed["vectorConfig"]) == ["theirs", "tokens", "fde"]
    assert description_of(changed["description"], "here") == ("mine", INFO)
    more = INFO.model_copy(update={"dims": {**INFO.dims, "dense": 3}})
    again = extended({**changed, "vectorConfig": changed["vectorConfig"] | {"fde": "as it is"}}, more, {})
    assert again["vectorConfig"]["fde"] == "as it is"
    assert list(again["vectorConfig"]) == ["theirs", "tokens", "fde", "dense"]
    assert description_of(again["description"], "here") == ("mine", more)


def test_a_vector_of_theirs_is_not_taken() -> None:
    schema = {"class": "Docs", "vectorConfig": {"fde": {"vectorizer": {"none": {}}}}}
    with pytest.raises(StoreError, match="a vector 'fde' of its own"):
        extended(schema, INFO, {})


def test_no_module_reads_our_properties() -> None:
    schema: dict[str, Any] = {
        "vectorizer": "text2vec-openai",
        "vectorConfig": {"theirs": {"vectorizer": {"text2vec-cohere": {}}}, "fde": {"vectorizer": {"none": {}}}},
        "properties": [{"name": "_vectorplug_id"}],
    }
    lacking = lacking_properties(schema)
    assert {each["name"] for each in lacking} == {
        "_vectorplug_content",
        "_vectorplug_payload",
        "_vectorplug_part",
    }
    assert all(set(each["moduleConfig"]) == {"text2vec-openai", "text2vec-cohere"} for each in lacking)
    # Weaviate asks its modules again where a text changes, whether they read it or not.
    assert {each["name"]: each["dataType"] for each in lacking}["_vectorplug_content"] == ["uuid"]
    assert "moduleConfig" not in lacking_properties({})[0]
