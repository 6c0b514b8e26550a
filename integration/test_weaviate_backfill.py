"""Collections of a real Weaviate that somebody else made get vectors, and everything of theirs stays."""

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import weaviate
from backfill_suite import COUNT, TEXTS, BackfillSuite, assert_exact
from corpus import WordVectorizer
from store_suite import OpenStore
from vectorplug_weaviate import WeaviateStore
from vectorplug_weaviate.schema import CONTENT
from weaviate.classes.config import Configure, DataType, Property, ReferenceProperty
from weaviate.classes.data import DataObject
from weaviate.classes.query import QueryReference
from weaviate_server import WeaviateServer

from vectorplug.errors import ConfigurationError, StoreError

THEIRS = {"body", "n", "when"}


class TheirWeaviate:
    """A collection as its users make one, through the client."""

    collection = "theirs"

    def __init__(self, client: Any, prefix: str) -> None:
        name = f"{prefix}theirs"
        properties = [
            Property(name="body", data_type=DataType.TEXT),
            Property(name="n", data_type=DataType.INT),
            Property(name="when", data_type=DataType.DATE),
        ]
        client.collections.create(
            name,
            description="What we wrote.",
            properties=properties,
            vector_config=Configure.Vectors.self_provided(name="theirs"),
        )
        self.handle = client.collections.use(name)
        self.ids = [str(uuid.uuid5(uuid.NAMESPACE_URL, str(i))) for i in range(COUNT)]
        self._place = {each: i for i, each in enumerate(self.ids)}
        both = zip(self.ids, TEXTS, strict=True)
        objects = [DataObject(self._properties(each, text), each, self._vector(each)) for each, text in both]
        assert not self.handle.data.insert_many(objects).errors

    def read(self) -> dict[Any, Any]:
        found = {}
        for each in self.handle.iterator(include_vector=True):
            properties = {name: value for name, value in each.properties.items() if name in THEIRS}
            found[str(each.uuid)] = (properties, each.vector["theirs"], each.metadata.creation_time)
        return found

    def write(self, document_id: str, text: str | None) -> None:
        self.handle.data.replace(document_id, self._properties(document_id, text), vector=self._vector(document_id))

    def change(self, document_id: str, text: str) -> None:
        self.handle.data.update(document_id, {"body": text})

    def delete(self, document_id: str) -> None:
        self.handle.data.delete_by_id(document_id)

    def _properties(self, document_id: str, text: str | None) -> dict[str, Any]:
        kept = {"n": self._place[document_id], "when": "2020-01-02T03:04:05Z"}
        return kept if text is None else {"body": text, **kept}

    def _vector(self, document_id: str) -> dict[str, Any]:
        return {"theirs": [float(self._place[document_id]), 1.0, -1.0]}


class TestWeaviateBackfill(BackfillSuite):
    @pytest.fixture
    def open_store_under_test(self, open_weaviate: OpenStore) -> OpenStore:
        return open_weaviate

    @pytest.fixture
    def theirs(self, weaviate_under_test: WeaviateServer, prefix: str) -> Any:
        with weaviate_under_test.connect() as client:
            yield TheirWeaviate(client, prefix)

    def test_the_description_of_theirs_stays(self, open_store_under_test: OpenStore, theirs: TheirWeaviate) -> None:
        store = open_store_under_test(collection="theirs", vectorizer=WordVectorizer(), mode="fde+rerank")
        store.backfill("body", show_progress_bar=False)
        store.backfill("body", outputs=("dense",), show_progress_bar=False)
        description = theirs.handle.config.get().description
        assert description is not None
        assert description.startswith("What we wrote.\n\nvectorplug: {")
        assert description.count("vectorplug: ") == 1
        assert len(store.search(TEXTS[0], mode="dense")) == 10

    def test_words_are_those_of_their_texts(self, open_store_under_test: OpenStore, theirs: TheirWeaviate) -> None:
        theirs.change(theirs.ids[9], "zanzibar")
        store = open_store_under_test(collection="theirs", vectorizer=WordVectorizer(), mode="hybrid+rerank")
        store.backfill("body", show_progress_bar=False)
        assert store.search("zanzibar", limit=1)[0].id == theirs.ids[9]

    def test_an_object_written_anew_takes_no_place(
        self, open_store_under_test: OpenStore, theirs: TheirWeaviate
    ) -> None:
        store = open_store_under_test(collection="theirs", vectorizer=WordVectorizer(), mode="fde")
        store.backfill("body", show_progress_bar=False)
        for each in theirs.ids[:5]:
            theirs.write(each, "sea")
        assert len(store.search(TEXTS[0], limit=300)) == 300
        # Ours are gone from those five until the next round.
        assert len(store.search(TEXTS[0], limit=COUNT)) == COUNT - 5


def filled(client: weaviate.WeaviateClient, name: str, **options: Any) -> WeaviateStore:
    store = WeaviateStore.from_client(client, name, vectorizer=WordVectorizer(), mode="fde+rerank", **options)
    report = store.backfill("body", show_progress_bar=False)
    assert (report.filled, report.failed, report.remaining) == (report.documents, [], 0)
    return store


@pytest.fixture
def client(weaviate_under_test: WeaviateServer) -> Iterator[weaviate.WeaviateClient]:
    with weaviate_under_test.connect() as client:
        yield client


def test_the_old_kind_of_collection_with_one_unnamed_vector(client: weaviate.WeaviateClient, prefix: str) -> None:
    name = f"{prefix}old"
    client.collections.create_from_dict(
        {"class": name, "vectorizer": "none", "properties": [{"name": "body", "dataType": ["text"]}]}
    )
    handle = client.collections.use(name)
    ids = [str(handle.data.insert({"body": text}, vector=[float(i), 1.0])) for i, text in enumerate(TEXTS[:20])]
    assert_exact(filled(client, name), dict(zip(ids, TEXTS, strict=False)))
    assert {each.vector["default"][0] for each in handle.iterator(include_vector=True)} == set(map(float, range(20)))
    assert len(handle.query.near_vector([1.0, 1.0], limit=20).objects) == 20


def test_a_module_is_not_asked_again(client: weaviate.WeaviateClient, prefix: str) -> None:
    """Its service is nowhere, so that a vector it should make would be an error."""
    name = f"{prefix}module"
    client.collections.create(
        name,
        properties=[Property(name="body", data_type=DataType.TEXT)],
        vector_config=Configure.Vectors.text2vec_openai(name="theirs", base_url="http://127.0.0.1:9", model="none"),
    )
    handle = client.collections.use(name)
    ids = [str(handle.data.insert({"body": text}, vector={"theirs": [1.0, 2.0]})) for text in TEXTS[:20]]
    assert_exact(filled(client, name), dict(zip(ids, TEXTS, strict=False)))
    assert all(each.vector["theirs"] == [1.0, 2.0] for each in handle.iterator(include_vector=True))


def test_references_stay(client: weaviate.WeaviateClient, prefix: str) -> None:
    name = f"{prefix}linked"
    client.collections.create(
        name,
        properties=[Property(name="body", data_type=DataType.TEXT)],
        references=[ReferenceProperty(name="next", target_collection=name)],
    )
    handle = client.collections.use(name)
    first = handle.data.insert({"body": "sea"})
    second = handle.data.insert({"body": "salt"}, references={"next": first})
    filled(client, name)
    found = handle.query.fetch_object_by_id(second, return_references=QueryReference(link_on="next"))
    assert [each.uuid for each in found.references["next"].objects] == [first]


def test_a_vector_of_theirs_with_our_name_is_left_alone(client: weaviate.WeaviateClient, prefix: str) -> None:
    name = f"{prefix}taken"
    client.collections.create(
        name,
        properties=[Property(name="body", data_type=DataType.TEXT)],
        vector_config=Configure.Vectors.self_provided(name="fde"),
    )
    client.collections.use(name).data.insert({"body": "sea"}, vector={"fde": [1.0]})
    with pytest.raises(StoreError, match=r"a vector 'fde' of its own.*Nothing was changed"):
        filled(client, name)
    assert [prop.name for prop in client.collections.use(name).config.get().properties] == ["body"]


def test_tenants_are_filled_one_by_one(client: weaviate.WeaviateClient, prefix: str) -> None:
    name = f"{prefix}tenants"
    client.collections.create(
        name,
        properties=[Property(name="body", data_type=DataType.TEXT)],
        multi_tenancy_config=Configure.multi_tenancy(enabled=True, auto_tenant_creation=True),
    )
    ids = {}
    for tenant, part in {"one": TEXTS[:20], "two": TEXTS[20:30]}.items():
        handle = client.collections.use(name).with_tenant(tenant)
        ids[tenant] = {str(handle.data.insert({"body": text})): text for text in part}
    assert_exact(filled(client, name, tenant="one"), ids["one"])
    other = WeaviateStore.from_client(client, name, tenant="two", vectorizer=WordVectorizer())
    assert other.search("sea") == []
    assert_exact(filled(client, name, tenant="two"), ids["two"])
    with pytest.raises(ConfigurationError, match="has tenants, and none is named"):
        WeaviateStore.from_client(client, name)


def test_killed_in_the_middle_it_ends_as_if_it_had_not_been(
    client: weaviate.WeaviateClient, weaviate_under_test: WeaviateServer, prefix: str
) -> None:
    killed, undisturbed = TheirWeaviate(client, f"{prefix}killed"), TheirWeaviate(client, f"{prefix}whole")
    child = subprocess.Popen(
        [
            sys.executable,
            Path(__file__).parent / "weaviate_child.py",
            weaviate_under_test.store_url,
            killed.handle.name,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"before the last window\n"
            until = time.monotonic() + 60
            while time.monotonic() < until and not any(map(_has_ours, killed.handle.iterator())):
                pass
        finally:
            child.kill()
    left = COUNT - sum(map(_has_ours, killed.handle.iterator()))
    assert 0 < left < COUNT
    with WeaviateStore.from_client(client, killed.handle.name, vectorizer=WordVectorizer()) as store:
        report = store.backfill("body", show_progress_bar=False)
    # What the child had under way may arrive after it died.
    assert COUNT > left >= report.documents == report.filled > 0
    filled(client, undisturbed.handle.name)
    assert _everything(killed) == _everything(undisturbed)


def _has_ours(found: Any) -> bool:
    return bool(found.properties.get(CONTENT))


def _everything(collection: TheirWeaviate) -> dict[str, Any]:
    return {str(each.uuid): (each.properties, each.vector) for each in collection.handle.iterator(include_vector=True)}
