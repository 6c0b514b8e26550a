"""An embedded collection after a kill, a full disk, a second process, damaged files: nothing lost, nothing doubled."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import DIM, FDE, WordVectorizer, random_texts, sentences
from edge_child import COUNT, FIRST
from qdrant_edge import EdgeShard, Point, UpdateOperation
from store_suite import DOCUMENTS, QUERIES, assert_same, filled, plain_store
from vectorplug_qdrant import QdrantStore, edge, edge_layout

from vectorplug.encoded import OUTPUTS, Encoded
from vectorplug.errors import ConfigurationError, InputError, StoreError, StoreUnavailableError
from vectorplug.multivectors import MultiVectors
from vectorplug.search import AddReport
from vectorplug.search.brute import BruteStore


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"edge:{tmp_path / 'index'}"


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    return tmp_path / "index" / "docs"


def start(task: str, url: str) -> "subprocess.Popen[str]":
    here = Path(__file__).parent
    return subprocess.Popen(
        [sys.executable, str(here / "edge_child.py"), task, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{here}:{here.parent}:{here.parent / 'adapters'}", "PATH": ""},
    )


def wait_for(child: "subprocess.Popen[str]", line: str) -> None:
    assert child.stdout is not None
    assert line in (said.strip() for said in child.stdout), f"the child ended before it said {line!r}"


@pytest.mark.parametrize("line", ["3", "300", "800"])
def test_a_killed_add_is_completed_by_the_same_call(url: str, line: str) -> None:
    child = start("add", url)
    wait_for(child, line)
    child.kill()
    child.communicate()

    texts, undisturbed = sentences(COUNT), BruteStore(vectorizer=WordVectorizer(), mode="fde+rerank")
    undisturbed.add(texts, ids=range(COUNT))
    with QdrantStore(url, vectorizer=WordVectorizer(), mode="fde+rerank") as store:
        there = store.count()
        assert there >= int(line) // 256 * 256 - 256
        assert store.add(texts, ids=range(COUNT)) == AddReport(added=COUNT - there, skipped=there)
        assert store.count() == COUNT
        everything = store.search("wind and wave", limit=COUNT)
        assert sorted(hit.id for hit in everything if isinstance(hit.id, int)) == list(range(COUNT))
        best = undisturbed.search("wind and wave", limit=COUNT)
        np.testing.assert_allclose([h.score for h in everything], [h.score for h in best], rtol=1e-4)


def test_what_upsert_wrote_survives_a_kill(url: str) -> None:
    child = start("die_after_upsert", url)
    child.communicate()
    assert child.returncode == -9
    with QdrantStore(url, mode="fde+rerank") as store:
        assert store.count() == 60
        found = store.search_encoded(QUERIES[:1], limit=60)
        expected = plain_store().search_encoded(QUERIES[:1], limit=60, mode="fde+rerank")
        assert [hit.id for hit in found] == [hit.id for hit in expected]


def test_a_second_process_is_told_who_is_in_and_a_killed_one_locks_nothing(url: str) -> None:
    child = start("hold", url)
    wait_for(child, "open")
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match=f"in use by process {child.pid};"):
            QdrantStore(url)
    child.kill()
    child.communicate()
    with QdrantStore(url) as store:
        assert store.count() == 1


def test_a_second_store_in_this_process_is_refused(url: str) -> None:
    with filled(QdrantStore(url)):
        with pytest.raises(StoreUnavailableError, match="another store in this process"):
            QdrantStore(url)
        assert filled(QdrantStore(url, "others")).count() == 60
    with QdrantStore(url) as store:
        assert store.count() == 60


def test_two_stores_that_make_one_collection(url: str) -> None:
    first, second = QdrantStore(url), QdrantStore(url)
    filled(first)
    with pytest.raises(StoreUnavailableError, match="in use"):
        filled(second)
    first.close()
    with pytest.raises(StoreUnavailableError, match="made by another store"):
        filled(second)
    with QdrantStore(url) as store:
        assert store.count() == 60


def test_a_full_disk_is_said_and_the_same_add_completes(url: str) -> None:
    child = start("fill", url)
    said, _ = child.communicate()
    full, counts = said.splitlines()
    assert full.startswith("StoreError: the disk that holds")
    assert "File too large" in full
    there, added, skipped, count = map(int, counts.split())
    assert 100 <= there < count == 700
    assert added + skipped == 700
    assert skipped <= there


def test_too_little_room_is_said_before_the_engine_writes(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with QdrantStore(url) as store:
        with monkeypatch.context() as patch:
            patch.setattr(edge, "ROOM_RESERVE", 2**60)
            with pytest.raises(StoreError, match="takes no more"):
                filled(store)
            assert store.info is None
        filled(store)
        with monkeypatch.context() as patch:
            patch.setattr(edge, "ROOM_RESERVE", 2**60)
            with pytest.raises(StoreError, match=r"takes no more .* bytes free"):
                store.add_encoded(DOCUMENTS[:2], ids=["new", "newer"])
        assert store.add_encoded(DOCUMENTS[:2], ids=["new", "newer"]).added == 2
        assert store.count() == 62


def test_ragged_or_deep_documents_never_reach_the_engine(url: str) -> None:
    with pytest.raises(InputError):
        MultiVectors.from_list([np.ones((2, DIM)), np.ones((2, DIM - 1))])
    with filled(QdrantStore(url)) as store:
        narrow = MultiVectors.from_list([np.ones((2, DIM - 1), np.float32)])
        with pytest.raises(InputError, match="15"):
            store.add_encoded(Encoded(narrow, DOCUMENTS[:1].fde), ids=["narrow"])
        deep: Any = 0
        for _ in range(200):  # the engine takes it, and can then never again read its log
            deep = [deep]
        report = store.add_encoded(DOCUMENTS[:1], ids=["deep"], payloads=[{"deep": deep}])
        assert [failed for failed, _ in report.failed] == ["deep"]
    with QdrantStore(url) as store:
        assert store.count() == 60


def test_a_document_with_too_many_tokens_fails_alone(url: str) -> None:
    long = MultiVectors.from_list([np.ones((n, DIM), np.float32) for n in (1, 65_536, 65_535)])
    with QdrantStore(url, mode="native") as store:
        report = store.add_encoded(Encoded(long), ids=["short", "too long", "long"])
        assert report.added == store.count() == 2
        [(failed, reason)] = report.failed
        assert failed == "too long"
        assert "1,048,576 floats" in reason
    with QdrantStore(url) as store:
        assert store.count() == 2


def test_vectors_longer_than_qdrant_takes_are_refused(url: str, collection: Path) -> None:
    with QdrantStore(url, mode="dense") as store:
        with pytest.raises(ConfigurationError, match="65,537 numbers, Qdrant takes at most 65,536"):
            store.add_encoded(Encoded(dense=np.ones((1, 65_537), np.float32)), ids=[1])
        assert not collection.exists()
        assert store.add_encoded(Encoded(dense=np.ones((1, 65_536), np.float32)), ids=[1]).added == 1


@pytest.mark.parametrize("add", ["add", "add_encoded"])
def test_a_document_with_the_reserved_field_fails_alone(url: str, add: str) -> None:
    payloads: list[dict[str, Any]] = [{"_vectorplug": "mine"}, {}]
    with QdrantStore(url, vectorizer=WordVectorizer()) as store:
        if add == "add":
            report = store.add(["x", "y"], ids=[1, 2], payloads=payloads)
        else:
            report = store.add_encoded(DOCUMENTS[:2], ids=[1, 2], payloads=payloads)
        assert [failed for failed, _ in report.failed] == [1]
        assert "'_vectorplug'" in report.failed[0][1]
        assert report.added == store.count() == 1


def test_a_filter_of_another_database_is_refused(url: str) -> None:
    with filled(QdrantStore(url)) as store, pytest.raises(InputError, match=r"qdrant_edge\.Filter"):
        store.search_encoded(QUERIES[:1], filter={"must": []})  # type: ignore[arg-type]


def test_searching_what_is_not_there_makes_nothing(tmp_path: Path, url: str) -> None:
    with QdrantStore(url) as store:
        assert store.count() == 0
        with pytest.raises(StoreError, match="add documents first"):
            store.search_encoded(QUERIES[:1])
    assert list(tmp_path.iterdir()) == []


def test_a_creation_that_was_cut_off_is_made_anew(url: str, collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, QdrantStore(url) as store:
        patch.setattr(Path, "rename", cut_off)
        with pytest.raises(KeyboardInterrupt):
            filled(store)
    assert (collection.parent / ".docs.new" / "shard").is_dir()
    with QdrantStore(url) as store:
        assert store.info is None
        assert filled(store).count() == 60
    assert sorted(path.name for path in collection.parent.iterdir()) == ["docs", "docs.lock"]


def test_a_folder_of_somebody_else_is_left_alone(url: str, collection: Path) -> None:
    collection.mkdir(parents=True)
    (collection / "guide.md").write_text("mine")
    with QdrantStore(url) as store, pytest.raises(StoreError, match="holds something else"):
        filled(store)
    assert [path.name for path in collection.iterdir()] == ["guide.md"]


@pytest.mark.parametrize("damage", ["", "{", '{"format": 1}', '{"format": 2, "dims": {"fde": 4}, "mode": "fde"}'])
def test_a_damaged_description_is_named(url: str, collection: Path, damage: str) -> None:
    filled(QdrantStore(url)).close()
    file = collection / "collection.json"
    whole = file.read_text()
    file.write_text(damage)
    with pytest.raises(StoreError, match=r"collection\.json"):
        QdrantStore(url)
    file.write_text(whole)
    with QdrantStore(url) as store:
        assert store.count() == 60


def test_damaged_files_of_the_engine_are_an_error(url: str, collection: Path) -> None:
    filled(QdrantStore(url)).close()
    shutil.rmtree(collection / "shard" / "segments")
    (collection / "shard" / "edge_config.json").write_text("{")
    for _ in range(2):
        with pytest.raises(StoreError, match=str(collection)):
            QdrantStore(url)


def test_a_panic_of_the_engine_is_an_error(url: str, collection: Path, capfd: pytest.CaptureFixture[str]) -> None:
    filled(QdrantStore(url)).close()
    shard = EdgeShard.load(str(collection / "shard"))
    ragged = UpdateOperation.upsert_points([Point(1, {"tokens": [[1.0] * DIM, [1.0]], "fde": [1.0] * FDE.size}, {})])
    with pytest.raises(BaseException, match="Vector size mismatch"):
        shard.update(ragged)
    shard.close()
    with pytest.raises(StoreError, match="Vector size mismatch"):
        QdrantStore(url)
    capfd.readouterr()


@pytest.mark.parametrize("when", ["before_it_is_written", "after_a_fill"])
def test_a_killed_backfill_is_completed_by_the_same_call(tmp_path: Path, when: str) -> None:
    """Killed when the shard knows the vectors and the description does not, and when the first of them are in."""
    found = []
    for name in ("disturbed", "undisturbed"):
        url = f"edge:{tmp_path / name}"
        with QdrantStore(url, vectorizer=WordVectorizer(), mode="dense") as store:
            store.add(sentences(COUNT), ids=range(COUNT))
        if name == "disturbed":
            child = start(when, url)
            child.communicate()
            assert child.returncode == -signal.SIGKILL
        with QdrantStore(url, vectorizer=WordVectorizer()) as store:
            report = store.backfill(outputs=OUTPUTS, show_progress_bar=False)
            assert report.documents == (COUNT - FIRST if (name, when) == ("disturbed", "after_a_fill") else COUNT)
            assert report.filled == report.documents
            question = WordVectorizer().encode_query(["sea and wind"], outputs=OUTPUTS, show_progress_bar=False)
            assert store.count() == COUNT
            found.append(
                [store.search_encoded(question, limit=COUNT, mode=mode) for mode in ("native", "fde", "dense")]
            )
    for disturbed, undisturbed in zip(*found, strict=True):
        assert sorted(disturbed, key=lambda hit: hit.id) == sorted(undisturbed, key=lambda hit: hit.id)
        assert len(disturbed) == COUNT


@pytest.mark.parametrize("when", ["mid_refit", "before_the_switch"])
def test_a_killed_refit_answers_and_is_completed_by_the_same_call(tmp_path: Path, when: str) -> None:
    url, question = f"edge:{tmp_path}", "sea and wind"
    with QdrantStore(url, vectorizer=WordVectorizer(), mode="fde") as store:
        store.add(sentences(COUNT), ids=range(COUNT))
        before = store.search(question, limit=COUNT)
    child = start(when, url)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    with QdrantStore(url, vectorizer=WordVectorizer()) as store:
        assert store.search(question, limit=COUNT) == before
        report = store.refit(show_progress_bar=False)
        assert report.switched
        assert report.filling.documents == (COUNT - FIRST if when == "mid_refit" else 0)
        assert report.fit is None
        found = store.search(question, limit=COUNT)
        words = store.vectorizer
        asked = words.encode_query([question], outputs=("fde",), show_progress_bar=False).fde
        documents = words.encode_document(sentences(COUNT), outputs=("fde",), show_progress_bar=False).fde
        assert documents is not None
        assert asked is not None
        assert documents.shape == (COUNT, 8)
        scores = documents @ asked[0]
        assert len(found) == COUNT
        expected = scores[[hit.id for hit in found]]
        np.testing.assert_allclose([hit.score for hit in found], expected, rtol=1e-4, atol=1e-5)


def test_the_graph_is_built_once_enough_is_new(url: str, collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The engine by itself would build a graph from 10 MB on.
    monkeypatch.setattr(edge, "INDEX_BYTES", 20 * 2**20)
    monkeypatch.setattr(edge_layout, "FULL_SCAN_KB", 1)
    rng = np.random.default_rng(5)
    dense = rng.standard_normal((1400, 4096), np.float32)
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    tokens = random_texts(1400, seed=6, longest=4).tokens
    documents, query = Encoded(tokens, dense=dense), Encoded(QUERIES[:1].tokens, dense=dense[:1])
    plain = BruteStore(mode="dense+rerank")

    def indexed(store: QdrantStore) -> int:
        info = EdgeShard.info(store._database._loaded())
        return info.indexed_vectors_count // 2

    with QdrantStore(url, mode="dense+rerank") as store:
        for begin, end, expected in ((0, 700, 0), (700, 1300, 1300), (1300, 1400, 1300)):
            for each in (store, plain):
                each.add_encoded(documents[begin:end], ids=list(range(begin, end)))
            assert indexed(store) == expected
        leftover = collection / "shard" / "temp_segments" / "segment_builder_x"
        leftover.mkdir(parents=True)
    with QdrantStore(url) as store:
        assert not leftover.exists()
        assert (store.count(), indexed(store)) == (1400, 1300)
        found = store.search_encoded(query, limit=100, mode="dense")
        best = plain.search_encoded(query, limit=100, mode="dense")
        assert found[0].id == 0
        assert len({hit.id for hit in found} & {hit.id for hit in best}) >= 80
        assert {hit.id for hit in found} & set(range(1300, 1400))
        # All of the 1,400 are candidates: exact whatever the graph does.
        both = [each.search_encoded(query, limit=10, candidates=1400) for each in (store, plain)]
        assert_same(*both)


def test_the_log_is_synced_by_bytes(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    flush = edge.EdgeCollection._flush

    def counted(self: edge.EdgeCollection) -> None:
        flushed.append(self._unflushed)
        flush(self)

    monkeypatch.setattr(edge.EdgeCollection, "_flush", counted)
    monkeypatch.setattr(edge, "FLUSH_BYTES", 100_000)
    monkeypatch.setattr(QdrantStore, "chunk_bytes", 40_000)
    filled(QdrantStore(url)).close()
    assert len(flushed) > 1
    assert all(size >= 100_000 for size in flushed[:-1])


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("qdrant://localhost:6333", "edge:FOLDER"),
        ("edge:", "no folder"),
        ("edge://index", "no folder"),
        ("./index", "no folder"),
    ],
)
def test_urls_that_name_no_folder(bad: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        QdrantStore(bad)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", ".hidden"])
def test_collections_that_are_no_folder_names(url: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match="no name of a folder"):
        QdrantStore(url, name)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        QdrantStore(f"edge:{tmp_path / 'file' / 'index'}") as store,
        pytest.raises(StoreError, match="Not a directory"),
    ):
        filled(store)


def test_importing_the_adapter_loads_no_torch() -> None:
    code = (
        "import sys, vectorplug_qdrant; print(json.dumps([m for m in ('torch', 'transformers') if m in sys.modules]))"
    )
    said = subprocess.run([sys.executable, "-c", f"import json; {code}"], capture_output=True, text=True, check=True)
    assert json.loads(said.stdout) == []
