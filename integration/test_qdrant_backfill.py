"""A collection on a Qdrant server that somebody else made gets vectors, beside those who go on writing to it."""

import os
import re
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from backfill_suite import COUNT, TEXTS, BackfillSuite, Meddling, assert_exact
from corpus import WordVectorizer
from qdrant_client import QdrantClient, models
from qdrant_client.qdrant_remote import QdrantRemote
from qdrant_server import RunningQdrant, qdrant_server
from store_suite import OpenStore
from vectorplug_qdrant import QdrantStore, adopting, indexing, writing
from vectorplug_qdrant.fits import FITS
from vectorplug_qdrant.layout import METADATA

from vectorplug.encoded import OUTPUTS
from vectorplug.errors import InputError, StoreError
from vectorplug.search.backfill import Unfilled

BODY = "body"
README = (Path(__file__).resolve().parents[1] / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def qdrant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningQdrant]:
    with qdrant_server(tmp_path_factory.mktemp("qdrant")) as running:
        yield running


@pytest.fixture(scope="module")
def client(qdrant: RunningQdrant) -> Iterator[QdrantClient]:
    """Their own program's."""
    client = QdrantClient(qdrant.url, timeout=60, check_compatibility=False)
    yield client
    client.close()


@pytest.fixture
def prefix(client: QdrantClient) -> Iterator[str]:
    """Begins the names of a test's collections, which end with it."""
    prefix = uuid.uuid4().hex[:8]
    yield prefix
    for each in client.get_collections().collections:
        if each.name.startswith(prefix):
            client.delete_collection(each.name)


class Theirs:
    """Points with integers and UUIDs for ids, one vector, and some metadata."""

    def __init__(self, client: QdrantClient, prefix: str, **options: Any) -> None:
        self.client, self.collection = client, "theirs"
        self._name = f"{prefix}-{self.collection}"
        self.ids: list[Any] = [i * 3 if i % 2 else str(uuid.UUID(int=i * 7919)) for i in range(COUNT)]
        client.create_collection(
            self._name,
            {"theirs": models.VectorParams(size=3, distance=models.Distance.COSINE)},
            metadata={"owner": {"name": "they"}},
            **options,
        )
        client.upsert(self._name, [self._point(i, TEXTS[i]) for i in range(COUNT)], wait=True)

    def read(self) -> dict[Any, Any]:
        records, _ = self.client.scroll(self._name, limit=2 * COUNT, with_vectors=True)
        metadata = self.client.get_collection(self._name).config.metadata or {}
        ours = (METADATA, FITS)
        theirs: dict[Any, Any] = {"metadata": {name: metadata[name] for name in metadata if name not in ours}}
        for record in records:
            assert isinstance(record.vector, dict)
            theirs[record.id] = (record.payload, record.vector["theirs"])
        return theirs

    def write(self, document_id: Any, text: str | None) -> None:
        self.client.upsert(self._name, [self._point(self.ids.index(document_id), text)], wait=True)

    def change(self, document_id: Any, text: str) -> None:
        self.client.set_payload(self._name, {BODY: text}, points=[document_id], wait=True)

    def delete(self, document_id: Any) -> None:
        self.client.delete(self._name, [document_id], wait=True)

    def _point(self, i: int, text: str | None) -> models.PointStruct:
        payload: dict[str, Any] = {"n": i, "deep": {"er": text}} | ({BODY: text} if text is not None else {})
        return models.PointStruct(id=self.ids[i], vector={"theirs": [1.0, i, i * i]}, payload=payload)


@pytest.fixture
def theirs(client: QdrantClient, prefix: str) -> Theirs:
    return Theirs(client, prefix)


@pytest.fixture
def open_store_under_test(url: str, prefix: str) -> Iterator[OpenStore]:
    with ExitStack() as opened:

        def open_one(collection: str = "docs", **options: Any) -> QdrantStore:
            return opened.enter_context(QdrantStore(url, f"{prefix}-{collection}", **options))

        yield open_one


@pytest.fixture
def url(qdrant: RunningQdrant) -> str:
    return f"{qdrant.url}?grpc_port={qdrant.grpc_port}"


class TestByGrpc(BackfillSuite):
    pass


class TestByRest(BackfillSuite):
    @pytest.fixture
    def url(self, qdrant: RunningQdrant) -> str:
        return qdrant.url


Options = dict[str, Any]
OPTIONS: Options = {"vectorizer": WordVectorizer(), "mode": "fde+rerank"}


def points(client: QdrantClient, name: str) -> list[models.Record]:
    return client.scroll(name, limit=2 * COUNT, with_vectors=True)[0]


def test_how_it_lies(url: str, theirs: Theirs, client: QdrantClient) -> None:
    """As in a collection of ours: no graph of tokens, and none ever begun; words; their own vectors as they were."""
    name = theirs._name
    with QdrantStore(url, name, vectorizer=WordVectorizer(), mode="hybrid+rerank", outputs=OUTPUTS) as store:
        seen: list[Any] = []

        def look() -> None:
            vectors = client.get_collection(name).config.params.vectors
            assert isinstance(vectors, dict)
            seen.append((len(points(client, name)[0].vector or []), vectors["tokens"].hnsw_config))

        store._vectorizer = Meddling(look)
        store.backfill(BODY, show_progress_bar=False)
        assert [(n, graph.m) for n, graph in seen] == [(1, 0)]
        hits = store.search("bread " + TEXTS[4].split()[-1], limit=3)
        assert hits[0].payload["body"] == TEXTS[4]  # nobody else has its number
        info = store.info
    config = client.get_collection(name).config
    assert info is not None
    assert info.adopted
    assert info.words
    assert config.metadata == {"owner": {"name": "they"}, METADATA: info.model_dump(mode="json")}
    assert config.optimizer_config.indexing_threshold
    with QdrantStore(url, f"{name}-ours", outputs=OUTPUTS, **(OPTIONS | {"mode": "hybrid"})) as ours:
        ours.add(["x"])
    expected = client.get_collection(f"{name}-ours").config.params
    assert isinstance(config.params.vectors, dict)
    assert isinstance(expected.vectors, dict)
    assert {field: config.params.vectors[field] for field in OUTPUTS} == expected.vectors
    assert config.params.sparse_vectors == expected.sparse_vectors


def test_options_hold_for_vectors_that_are_added(url: str, theirs: Theirs, client: QdrantClient) -> None:
    turbo = models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig())
    options: Options = {"on_disk": True, "fde_quantization": turbo, "token_datatype": models.Datatype.FLOAT16}
    with QdrantStore(url, theirs._name, **OPTIONS, **options) as store:
        store.backfill(BODY, show_progress_bar=False)
    vectors = client.get_collection(theirs._name).config.params.vectors
    assert isinstance(vectors, dict)
    assert vectors["fde"].quantization_config is not None
    assert vectors["tokens"].datatype == models.Datatype.FLOAT16
    assert (vectors["fde"].on_disk, vectors["tokens"].on_disk, vectors["theirs"].on_disk) == (True, True, None)


def test_a_nested_field(url: str, theirs: Theirs) -> None:
    with QdrantStore(url, theirs._name, **OPTIONS) as store:
        for field in ("deep.er", 'deep."er"'):
            assert store.backfill(field, dry_run=True).documents == COUNT
        with pytest.raises(InputError, match=r"'deep\[\]' is no path"):
            store.backfill("deep[]")
        assert store.backfill('"deep".er', show_progress_bar=False).filled == COUNT
        assert_exact(store, dict(zip(theirs.ids, TEXTS, strict=True)))


@pytest.mark.parametrize("index", [None, models.PayloadSchemaType.TEXT, models.PayloadSchemaType.KEYWORD])
@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_only_points_that_are_as_they_were_read(
    url: str, qdrant: RunningQdrant, theirs: Theirs, client: QdrantClient, index: Any, way: str
) -> None:
    """Filled beside writers: whoever was changed gets nothing, whoever is gone stays gone, and nothing is said."""
    name = theirs._name
    if index is not None:
        client.create_payload_index(name, BODY, index, wait=True)
    odd = ["sea " + "x" * 50_000, "ü\n\t🌊\x00z", 'a "quoted\\" text', "The Sea", " sea ", "e\u0301", "sea, sea"]
    for i, text in enumerate(odd):
        theirs.write(theirs.ids[i], text)
    with QdrantStore(url if way == "grpc" else qdrant.url, name, **OPTIONS) as store:
        store.backfill(BODY, show_progress_bar=False)
        client.delete_vectors(name, ["fde", "tokens"], theirs.ids, wait=True)
        database = store._database
        documents = [document for page in database.unfilled(BODY, ["fde"]) for document in page]
        assert {document.id: document.text for document in documents} == dict(
            zip(theirs.ids, [*odd, *TEXTS[len(odd) :]], strict=True)
        )
        changed = {theirs.ids[3]: "the sea", theirs.ids[4]: "sea", theirs.ids[5]: "é", theirs.ids[6]: "sea,"}
        for document_id, text in changed.items():
            theirs.change(document_id, text)
        theirs.delete(theirs.ids[10])
        theirs.delete(theirs.ids[11])
        texts = [str(document.text) for document in documents]
        encoded = WordVectorizer().encode_document(texts, outputs=("tokens", "fde"), show_progress_bar=False)
        database.fill(BODY, documents, encoded)
        left = [document for page in database.unfilled(BODY, ["tokens", "fde"]) for document in page]
        assert {document.id: document.text for document in left} == changed
        assert store.count() == COUNT - 2
        assert len(theirs.read()) == COUNT - 2 + 1
        everybody_gone = [Unfilled(str(theirs.ids[i]), theirs.ids[i], TEXTS[i]) for i in (10, 11)]
        database.fill(BODY, everybody_gone, encoded[:2])
        assert store.count() == COUNT - 2


def test_ids_are_the_points_own(url: str, theirs: Theirs, client: QdrantClient) -> None:
    largest = 2**63 - 1
    client.upsert(
        theirs._name, [models.PointStruct(id=largest, vector={"theirs": [1, 2, 3]}, payload={BODY: "zanzibar"})]
    )
    with QdrantStore(url, theirs._name, **OPTIONS) as store:
        store.backfill(BODY, show_progress_bar=False)
        assert store.search("zanzibar", limit=1)[0].id == largest
        assert store.payloads([largest, theirs.ids[0].upper(), "no such id", -1]) == {
            largest: {BODY: "zanzibar"},
            theirs.ids[0].upper(): {BODY: TEXTS[0], "n": 0, "deep": {"er": TEXTS[0]}},
        }
        # A point of theirs that is added is ours from then on.
        assert store.add(["timbuktu"], ids=[largest]).added == 1
        assert store.add(["timbuktu"], ids=[largest]).skipped == 1
        found = store.search("timbuktu", limit=1)[0]
        assert (found.id, found.payload) == (largest, {"text": "timbuktu"})
        store.delete([largest, theirs.ids[1], theirs.ids[2]])
        assert client.count(theirs._name).count == COUNT - 2


def test_a_vector_of_theirs_that_has_our_name(url: str, prefix: str, client: QdrantClient) -> None:
    name = f"{prefix}-named"
    client.create_collection(name, {"fde": models.VectorParams(size=4, distance=models.Distance.DOT)})
    client.upsert(name, [models.PointStruct(id=1, vector={"fde": [1, 2, 3, 4]}, payload={BODY: "sea"})])
    before = client.get_collection(name).config
    with (
        QdrantStore(url, name, **OPTIONS) as store,
        pytest.raises(StoreError, match="has a vector 'fde' vectorplug did"),
    ):
        store.backfill(BODY)
    assert client.get_collection(name).config == before


def test_one_vector_without_a_name(url: str, prefix: str, client: QdrantClient) -> None:
    name = f"{prefix}-unnamed"
    client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.DOT))
    client.upsert(name, [models.PointStruct(id=i, vector=[i, 1], payload={BODY: TEXTS[i]}) for i in range(5)])
    with QdrantStore(url, name, **OPTIONS) as store:
        assert store.backfill(BODY, show_progress_bar=False).filled == 5
        assert_exact(store, dict(enumerate(TEXTS[:5])))
    assert [hit.id for hit in client.query_points(name, query=[1.0, 0.0], limit=2).points] == [4, 3]


def test_a_server_that_cannot_add_vectors(url: str, theirs: Theirs, monkeypatch: pytest.MonkeyPatch) -> None:
    before = theirs.client.get_collection(theirs._name).config
    monkeypatch.setattr(QdrantRemote, "info", lambda _: models.VersionInfo(title="qdrant", version="1.17.1"))
    with (
        QdrantStore(url, theirs._name, **OPTIONS) as store,
        pytest.raises(StoreError, match=r"1\.17, .*1\.18 or newer"),
    ):
        store.backfill(BODY, show_progress_bar=False)
    assert theirs.client.get_collection(theirs._name).config == before


@pytest.mark.parametrize("way", ["grpc", "rest"])
def test_requests_are_as_small_as_the_server_wants(
    url: str, qdrant: RunningQdrant, theirs: Theirs, client: QdrantClient, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = models.StrictModeConfig(enabled=True, upsert_max_batchsize=50, unindexed_filtering_update=False)
    client.update_collection(theirs._name, strict_mode_config=strict)
    sizes: list[int] = []
    fill = writing.Writing.fill

    def counted(self: writing.Writing, documents: Any, *more: Any) -> None:
        sizes.append(len(documents))
        fill(self, documents, *more)

    monkeypatch.setattr(writing.Writing, "fill", counted)
    with QdrantStore(url if way == "grpc" else qdrant.url, theirs._name, **OPTIONS) as store:
        assert store.backfill(BODY, show_progress_bar=False).filled == COUNT
        assert max(sizes) == 50
        assert sum(sizes) == COUNT
        monkeypatch.setattr(writing, "REQUEST_BYTES", 20_000)
        client.delete_vectors(theirs._name, ["fde"], theirs.ids, wait=True)
        sizes.clear()
        assert store.backfill(BODY, show_progress_bar=False).filled == COUNT
        assert max(sizes) < 50


def test_indexing_waits_while_much_is_filled(
    url: str, theirs: Theirs, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def threshold() -> int | None:
        return client.get_collection(theirs._name).config.optimizer_config.indexing_threshold

    usual, seen = threshold(), []
    monkeypatch.setattr(indexing, "BULK_BYTES", 10_000)
    monkeypatch.setattr(adopting, "PAGE", 50)
    with QdrantStore(url, theirs._name, **OPTIONS) as store:
        store._vectorizer = Meddling(*[lambda: seen.append(threshold())] * 3)
        store.backfill(BODY, show_progress_bar=False)
    assert seen[0] == usual
    assert client.get_collection(theirs._name).config.metadata is not None
    assert threshold() == usual


@pytest.mark.parametrize("when", ["extending", "1", "2", "3"])
def test_a_killed_backfill_is_completed_by_the_same_call(
    url: str, prefix: str, client: QdrantClient, when: str
) -> None:
    """Killed between making the vectors and saying so, and beside each window that is encoded."""
    disturbed, undisturbed = (Theirs(client, f"{prefix}-{i}") for i in range(2))
    before = disturbed.read()
    here = Path(__file__).parent
    child = subprocess.Popen(
        [sys.executable, str(here / "qdrant_child.py"), url, disturbed._name, when],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{here}:{here.parent}:{here.parent / 'adapters'}", "PATH": "", "NO_PROXY": "127.0.0.1"},
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "there"
        child.kill()
    assert METADATA not in (client.get_collection(disturbed._name).config.metadata or {}) or when != "extending"
    with QdrantStore(url, disturbed._name, **OPTIONS) as store:
        lacking = store._database.unfilled_count(BODY, ["tokens", "fde"])
        report = store.backfill(BODY, show_progress_bar=False)
        assert report.filled == lacking
        assert report.failed == []
        assert store.backfill(BODY, show_progress_bar=False).documents == 0
    with QdrantStore(url, undisturbed._name, **OPTIONS) as store:
        store.backfill(BODY, show_progress_bar=False)
    assert points(client, disturbed._name) == points(client, undisturbed._name)
    configs = [client.get_collection(each._name).config for each in (disturbed, undisturbed)]
    assert configs[0] == configs[1]
    assert disturbed.read() == before


def test_the_commands_of_the_readme(url: str, prefix: str, client: QdrantClient) -> None:
    name = f"{prefix}-articles"
    client.create_collection(name, {"theirs": models.VectorParams(size=2, distance=models.Distance.COSINE)})
    texts = ["The sea is salt.", "A ship floats on the sea.", "Bread and flour."]
    points = [
        models.PointStruct(id=i, vector={"theirs": [1, i]}, payload={"body": text}) for i, text in enumerate(texts)
    ]
    client.upsert(name, points, wait=True)
    commands = [line for line in README.splitlines() if re.match("vectorplug .*--collection articles", line)]
    assert [line.split()[1] for line in commands] == ["backfill", "backfill", "search"]
    shown = []
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "VECTORPLUG_MODEL": "minilm"}
    for line in commands:
        command = line.replace("http://localhost:6333", url).replace("articles", name)
        arguments = [sys.executable, "-m", "vectorplug.cli", *shlex.split(command)[1:]]
        outcome = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert outcome.returncode == 0, outcome.stderr
        shown.append(outcome.stdout)
    assert "3 documents lack vectors" in shown[0]
    assert "3 of 3 documents filled" in shown[1]
    assert shown[2].splitlines()[0].split()[:2] == ["1.", "1"]
    assert [line.split()[0] for line in shown[2].splitlines()[-3:]] == ["encode", "fde", "rerank"]
