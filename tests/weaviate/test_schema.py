"""Names that Weaviate takes, and limits that are known before a collection is made."""

import json

import pytest
from vectorplug_weaviate.connection import Connection
from vectorplug_weaviate.layout import definition
from vectorplug_weaviate.schema import class_name

from vectorplug.errors import ConfigurationError, StoreUnavailableError
from vectorplug.search import open_store
from vectorplug.search.fingerprint import CollectionInfo


@pytest.mark.parametrize(("given", "name"), [("docs", "Docs"), ("Docs", "Docs"), ("my-docs_2", "My_docs_2")])
def test_names(given: str, name: str) -> None:
    assert class_name(given) == name


@pytest.mark.parametrize("given", ["", "2docs", "_docs", "a b", "größe", "a.b", "a" * 256])
def test_names_that_weaviate_does_not_take(given: str) -> None:
    with pytest.raises(ConfigurationError, match="no name for Weaviate"):
        class_name(given)


def test_the_definition_says_what_it_was_made_with() -> None:
    info = CollectionInfo(dims={"tokens": 128, "fde": 10_240}, mode="fde+rerank")
    made = definition("Docs", info, {}, tenants=True)
    assert CollectionInfo.from_json(made["description"], "here") == info
    assert list(made["vectorConfig"]) == ["tokens", "fde"]
    assert made["vectorConfig"]["tokens"]["vectorIndexConfig"]["multivector"]["muvera"]["enabled"]
    assert made["vectorConfig"]["fde"]["vectorIndexConfig"]["distance"] == "dot"
    assert made["multiTenancyConfig"]["enabled"]
    json.dumps(made)


def test_longer_vectors_than_weaviate_takes_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="70,000 numbers, Weaviate takes at most 65,535"):
        definition("Docs", CollectionInfo(dims={"fde": 70_000}, mode="fde"), {}, tenants=False)


@pytest.mark.parametrize(
    "url",
    [
        "weaviate+http://",
        "weaviate:docs",
        "weaviate+ftp://localhost",
        "weaviate+http://localhost:port",
        "weaviate+http://localhost/path",
        "weaviate+http://localhost?grpc_port=x",
        "weaviate+http://localhost?grpc_port=0",
        "weaviate+http://localhost:50051",
        "weaviate+http://localhost?key=1",
        "weaviate+http://user:secret@localhost",
    ],
)
def test_urls_that_name_no_weaviate(url: str) -> None:
    with pytest.raises(ConfigurationError, match="expected") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_nobody_at_the_url() -> None:
    with pytest.raises(StoreUnavailableError, match="no Weaviate answers at weaviate"):
        open_store("weaviate+http://127.0.0.1:9?grpc_port=10")


def test_another_client_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"expected a weaviate\.WeaviateClient"):
        Connection(object(), owned=False)  # type: ignore[arg-type]
