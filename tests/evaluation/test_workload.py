import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus import WordVectorizer, sentences

from vectorplug import maxsim
from vectorplug.encoded import Encoded
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.evaluation import Collection, Document, Workload, encode_workload
from vectorplug.evaluation.spool import spooled

TEXTS = sentences(640)


def collection_of(texts: Sequence[str], qrels: dict[str, dict[str, int]] | None = None) -> Collection:
    documents = tuple(Document(f"d{i}", text, {}) for i, text in enumerate(texts))
    queries = {f"q{i}": text for i, text in enumerate(sentences(680)[640:])}
    if qrels is not None:
        queries = {query: queries[query] for query in qrels}
    return Collection("words", documents, queries, qrels or {})


class Counting(WordVectorizer):
    """Remembers what it has encoded."""

    def __init__(self, fingerprint: str = "words:1", dtype: str = "float32") -> None:
        self.fingerprint, self.dtype = fingerprint, dtype
        self.documents: list[str] = []
        self.queries: list[str] = []

    def encode_document(self, texts: Sequence[str], **options: Any) -> Encoded:
        self.documents.extend(texts)
        return super().encode_document(texts, **options)

    def encode_query(self, texts: Sequence[str], **options: Any) -> Encoded:
        self.queries.extend(texts)
        return super().encode_query(texts, **options)


def same(first: Workload, second: Workload) -> bool:
    pairs = [
        *zip((a for _, a in first.documents.vectors()), (b for _, b in second.documents.vectors()), strict=True),
        *zip((a for _, a in first.queries.vectors()), (b for _, b in second.queries.vectors()), strict=True),
    ]
    arrays = [(getattr(a, "values", a), getattr(b, "values", b)) for a, b in pairs]
    arrays += [(first.exact.positions, second.exact.positions), (first.exact.scores, second.exact.scores)]
    return all(np.array_equal(a, b) for a, b in arrays)


def test_it_holds_what_the_vectorizer_gives() -> None:
    vectorizer = Counting()
    given = collection_of(TEXTS)
    workload = encode_workload(given, vectorizer, cache=None, outputs=("fde", "dense"))
    assert vectorizer.documents == TEXTS
    assert vectorizer.queries[1:] == list(given.queries.values())  # and the first, untimed, before
    plain = WordVectorizer().encode_document(TEXTS, outputs=("tokens", "fde", "dense"), show_progress_bar=False)
    asked = WordVectorizer().encode_query(
        list(given.queries.values()), outputs=("tokens", "fde", "dense"), show_progress_bar=False
    )
    for (name, kept), (_, expected) in zip(workload.documents.vectors(), plain.vectors(), strict=True):
        if name == "tokens":
            np.testing.assert_array_equal(kept.values, expected.values.astype(np.float16))
            np.testing.assert_array_equal(kept.offsets, expected.offsets)
        else:
            np.testing.assert_array_equal(kept, expected)
    for (_, kept), (_, expected) in zip(workload.queries.vectors(), asked.vectors(), strict=True):
        np.testing.assert_array_equal(getattr(kept, "values", kept), getattr(expected, "values", expected))
    assert (workload.model, workload.encoder, workload.truncated, workload.notes) == ("words", "words:1", 0, ())
    assert workload.collection == given
    assert workload.documents_per_second > 0
    assert 0 < workload.ms_per_query_encoding.p50 <= workload.ms_per_query_encoding.p95


@pytest.mark.parametrize("at_once", [1, 2**26])
def test_exact_is_maxsim_of_all_documents(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectorplug.evaluation.workload.SCORE_BYTES", at_once)
    given = collection_of(TEXTS)
    left_out = {"q3": "d5", "q7": "d639", "q8": "gone"}
    given = Collection(given.name, given.documents, given.queries, {}, (), left_out)
    workload = encode_workload(given, WordVectorizer(), cache=None)
    assert workload.left_out.tolist() == [{3: 5, 7: 639}.get(i, -1) for i in range(40)]
    assert workload.queries.tokens is not None
    assert workload.documents.tokens is not None
    scores = maxsim(workload.queries.tokens, workload.documents.tokens)
    order = np.argsort(-scores, axis=1, kind="stable")
    for i, ranked in enumerate(workload.exact.positions):
        expected = [place for place in order[i] if place != workload.left_out[i]]
        assert ranked.tolist() == expected + [-1] * (640 - len(expected))
    again = workload.rank(scores, 640)
    np.testing.assert_array_equal(again.positions, workload.exact.positions)
    np.testing.assert_array_equal(again.scores, workload.exact.scores)


def test_the_second_run_encodes_nothing(tmp_path: Path) -> None:
    first, second, third = Counting(), Counting(), Counting()
    given = collection_of(TEXTS)
    made = encode_workload(given, first, cache=tmp_path)
    kept = encode_workload(given, second, cache=tmp_path)
    assert same(made, kept)
    assert (second.documents, second.queries) == ([], [])
    assert kept.notes == (f"the encoded texts are kept in {tmp_path} for the next run; delete it whenever you like.",)
    # Nothing of it in the cache is nothing of it on disk.
    encode_workload(given, third, cache=None)
    assert third.documents == TEXTS


@pytest.mark.parametrize("change", ["fingerprint", "dtype", "text", "order", "outputs"])
def test_what_differs_is_encoded_again(tmp_path: Path, change: str) -> None:
    encode_workload(collection_of(TEXTS), Counting(), cache=tmp_path)
    texts = list(TEXTS)
    if change == "text":
        texts[300] += " salt"
    if change == "order":
        texts.reverse()
    vectorizer = Counting(
        "words:2" if change == "fingerprint" else "words:1", "bfloat16" if change == "dtype" else "Counting"
    )
    outputs = ("fde",) if change == "outputs" else ("tokens", "dense")
    workload = encode_workload(collection_of(texts), vectorizer, cache=tmp_path, outputs=outputs)  # type: ignore[arg-type]
    assert vectorizer.documents == texts
    assert same(workload, encode_workload(collection_of(texts), Counting(), cache=None, outputs=outputs))  # type: ignore[arg-type]


CHILD = """
    import os, signal, sys
    sys.path[:0] = [{integration!r}, {here!r}]
    from test_workload import TEXTS, Counting, collection_of
    from vectorplug.evaluation import encode_workload

    class Killed(Counting):
        def encode_document(self, texts, **options):
            if len(self.documents) >= 512:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().encode_document(texts, **options)

    encode_workload(collection_of(TEXTS), Killed(), cache=__import__("pathlib").Path({cache!r}))
"""


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    here = Path(__file__).parent
    paths = {"integration": str(here.parents[1] / "integration"), "here": str(here), "cache": str(tmp_path)}
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD.format(**paths))], capture_output=True, text=True, check=False
    )
    assert child.returncode == -9, child.stderr
    vectorizer = Counting()
    workload = encode_workload(collection_of(TEXTS), vectorizer, cache=tmp_path)
    assert vectorizer.documents == TEXTS[512:]
    assert vectorizer.queries == []
    assert same(workload, encode_workload(collection_of(TEXTS), WordVectorizer(), cache=None))


def damage(path: Path, kind: str) -> None:
    content = bytearray(path.read_bytes())
    if kind == "cut":
        content = content[: len(content) * 2 // 3]
    elif kind == "flipped":
        content[len(content) * 2 // 3] ^= 1
    elif kind == "longer":
        content += b"torn"
    else:
        content = bytearray()
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["cut", "flipped", "longer", "emptied"])
@pytest.mark.parametrize("file", ["chunks", "tokens.float16", "dense.float32"])
def test_torn_and_damaged_files_are_encoded_again(tmp_path: Path, file: str, kind: str) -> None:
    given = collection_of(TEXTS)
    made = encode_workload(given, Counting(), cache=tmp_path)
    expected = encode_workload(given, Counting(), cache=None)
    assert same(made, expected)
    (folder,) = tmp_path.glob("document-*")
    damage(folder / file, kind)
    vectorizer = Counting()
    assert same(encode_workload(given, vectorizer, cache=tmp_path), expected)
    # Of the three chunks the first one stands before the damage.
    assert vectorizer.documents == TEXTS[{"longer": 640, "emptied": 0}.get(kind, 256) :]


def test_a_damaged_ranking_is_computed_again(tmp_path: Path) -> None:
    given = collection_of(TEXTS)
    made = encode_workload(given, Counting(), cache=tmp_path)
    (kept,) = tmp_path.glob("exact-*")
    for content in (b"", kept.read_bytes()[:900], b"nonsense"):
        kept.write_bytes(content)
        assert same(made, encode_workload(given, Counting(), cache=tmp_path))


def test_two_at_once_are_kept_apart(tmp_path: Path) -> None:
    with (
        spooled(tmp_path / "x", {"tokens": 16}, "float16"),
        pytest.raises(ConfigurationError, match="another process is encoding the same texts into"),
        spooled(tmp_path / "x", {"tokens": 16}, "float16"),
    ):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"the cache cannot be written, .*: Not a directory"):
        encode_workload(collection_of(TEXTS[:20]), Counting(), cache=tmp_path / "file")


def test_a_sample_of_documents_and_queries() -> None:
    qrels = {"q2": {"d600": 1, "d3": 0}, "q4": {"d17": 2}, "q9": {"d5": 1}}
    vectorizer = Counting()
    workload = encode_workload(collection_of(TEXTS, qrels), vectorizer, cache=None, documents=50, queries=2)
    collection = workload.collection
    assert len(collection.queries) == len(collection.qrels) == 2
    assert collection.qrels.items() <= qrels.items()
    judged = {document for grades in collection.qrels.values() for document in grades}
    ids = [document.id for document in collection.documents]
    assert len(ids) == 50
    assert judged <= set(ids)
    assert ids == sorted(ids, key=lambda each: int(each[1:]))
    assert vectorizer.documents == [document.text for document in collection.documents]
    assert workload.notes[0] == "2 of 3 queries were drawn (seed 0)."
    assert workload.notes[1].startswith(f"50 of 640 documents were drawn (seed 0), the {len(judged)} judged ones among")
    again = encode_workload(collection_of(TEXTS, qrels), Counting(), cache=None, documents=50, queries=2)
    assert again.collection == collection
    other = encode_workload(collection_of(TEXTS, qrels), Counting(), cache=None, documents=50, seed=1)
    assert other.collection.documents != collection.documents


def test_more_tokens_than_memory_are_a_sample() -> None:
    given = collection_of(TEXTS)
    bytes_each = 11 * 16 * 2  # ten words and a number
    workload = encode_workload(given, Counting(), cache=None, memory=100 * bytes_each)
    assert len(workload.documents) == 100
    assert workload.documents.tokens is not None
    assert workload.documents.tokens.nbytes == 100 * bytes_each
    assert workload.notes[0].startswith("100 of 640 documents were drawn (seed 0; tokens of more than 0.0 GB are not")
    assert len(encode_workload(given, Counting(), cache=None, memory=10**9).documents) == 640


@pytest.mark.parametrize(("given", "message"), [({"documents": 0}, "documents is 0"), ({"queries": 0}, "queries is 0")])
def test_an_empty_sample_is_refused(given: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        encode_workload(collection_of(TEXTS[:20]), Counting(), cache=None, **given)  # type: ignore[arg-type]


def test_no_queries_are_refused() -> None:
    given = Collection("words", collection_of(TEXTS[:20]).documents, {}, {})
    with pytest.raises(InputError, match="collection 'words' has no queries: give some, or draw them"):
        encode_workload(given, Counting(), cache=None)
