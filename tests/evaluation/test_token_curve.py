"""Fewer tokens: each way against a plain one, and the curve."""

import numpy as np
import pytest
from corpus import WordVectorizer, random_texts, sentences

from vectorplug import MultiVectors
from vectorplug.encoded import Encoded
from vectorplug.errors import InputError
from vectorplug.evaluation import Collection, Document, encode_workload
from vectorplug.evaluation.token_curve import token_curve
from vectorplug.evaluation.token_variants import distinctness, heaviest, leading, mean, pooled, rarity
from vectorplug.models.options import shaped


def documents(seed: int = 1) -> MultiVectors:
    tokens = random_texts(12, seed).tokens
    assert tokens is not None
    return tokens


def test_pooled_is_what_a_vectorizer_gives() -> None:
    tokens = documents()
    assert {1, 2} & {*tokens.lengths.tolist()} or tokens.lengths.min() < 4
    factors = (1, 1.5, 2, 3, 50)
    for factor, got in zip(factors, pooled(tokens, factors), strict=True):
        expected = shaped(Encoded(tokens=tokens), None, factor, "float32").tokens
        assert expected is not None
        assert got.lengths.tolist() == expected.lengths.tolist()
        # The order of the clusters is nobody's: MaxSim does not see it.
        for ours, theirs in zip(got, expected, strict=True):
            assert np.allclose(ours[np.lexsort(ours.round(4).T)], theirs[np.lexsort(theirs.round(4).T)], atol=2e-6)


def test_tokens_that_are_all_equal_are_pooled() -> None:
    same = MultiVectors.from_list([np.tile(np.eye(4, dtype=np.float32)[:1], (9, 1))])
    for made in pooled(same, (2, 4)):
        assert np.allclose(made.values, same.values[0])


def test_the_first_and_the_mean() -> None:
    tokens = documents()
    for own, cut in zip(tokens, leading(tokens, 0.5), strict=True):
        assert np.array_equal(cut, own[: max(1, len(own) // 2)])
    for own, one in zip(tokens, mean(tokens), strict=True):
        whole = own.mean(axis=0)
        assert np.allclose(one, whole / np.linalg.norm(whole), atol=1e-6)


def test_the_heaviest_stay_in_their_order() -> None:
    tokens = MultiVectors.from_list([np.arange(12, dtype=np.float32).reshape(6, 2)])
    kept = heaviest(tokens, [np.array([1, 5, 3, 5, 0, 4])], 0.5)
    assert kept[0][:, 0].tolist() == [2, 6, 10]
    with pytest.raises(InputError, match="6 tokens and 5 weights"):
        heaviest(tokens, [np.ones(5)], 0.5)


def test_distinct_is_unlike_what_came_before() -> None:
    a, b, c = np.eye(3, dtype=np.float32)
    (weights,) = distinctness(MultiVectors.from_list([np.stack([a, b, a, (b + c) / np.sqrt(2)])]))
    assert weights.tolist() == pytest.approx([2, 0, -1, -np.sqrt(0.5)])
    assert distinctness(MultiVectors.from_list([a[None]]))[0].shape == (1,)


def test_rare_is_in_few_texts() -> None:
    texts = ["Sea sea ship", "the sea", "oven"]
    spans = [np.array([[-1, -1], [0, 3], [4, 7], [8, 12]]), np.array([[0, 3], [4, 7]]), np.array([[0, 4]])]
    first, second, _ = rarity(texts, spans)
    assert first.tolist() == pytest.approx([np.log(3) + 1, np.log(3 / 2), np.log(3 / 2), np.log(3)])
    assert second.tolist() == pytest.approx([np.log(3), np.log(3 / 2)])


class Spanning(WordVectorizer):
    def token_spans(self, texts: list[str], role: str) -> list[np.ndarray]:
        assert role == "document"
        ends = [np.cumsum([len(word) + 1 for word in text.split()]) for text in texts]
        return [np.stack([np.concatenate([[0], e[:-1]]), e - 1], axis=1) for e in ends]

    def token_attention(self, documents: list[str]) -> list[np.ndarray]:
        # Less and less: those that are kept are the first.
        return [np.linspace(1, 0, len(text.split()), dtype=np.float32) for text in documents]


@pytest.mark.parametrize("judged", [False, True])
def test_the_curve(judged: bool) -> None:
    texts = sentences(330)
    found = tuple(Document(f"d{i}", text, {}) for i, text in enumerate(texts[:300]))
    queries = {f"q{i}": " ".join(text.split()[:3]) for i, text in enumerate(texts[300:])}
    qrels = {query: {"d299": 1, "d7": 1} for query in queries} if judged else {}
    workload = encode_workload(Collection("words", found, queries, qrels), WordVectorizer(), cache=None)
    curve = token_curve(workload, Spanning(), documents=100, show_progress_bar=False)
    points = {(point.method, round(point.tokens, 1)): point for point in curve.points}
    assert (curve.documents, curve.queries) == (100, 30)
    assert curve.notes == ("the curve of tokens is of 100 of the 300 documents.",)
    assert points["all", 11].overlap.mean == 1
    # 11 tokens: the first and 10 others, which are pooled; else 11 of them are chosen from.
    assert {key for key in points if key[0] == "pooled"} == {("pooled", 6), ("pooled", 4), ("pooled", 3), ("pooled", 2)}
    assert {key for key in points if key[0] == "rare"} == {("rare", 5), ("rare", 3), ("rare", 2), ("rare", 1)}
    attended = [point for point in curve.points if point.method == "attended"]
    assert [round(point.tokens, 1) for point in attended] == [5, 3, 2, 1]
    assert [(p.overlap, p.ndcg) for p in attended] == [(p.overlap, p.ndcg) for p in curve.points if p.method == "first"]
    assert points["mean", 1].overlap.mean < points["pooled", 6].overlap.mean < 1
    assert {point.ndcg is None for point in curve.points} == {not judged}
    if judged:
        # Judged documents are drawn first, so that there is something to find.
        assert points["all", 11].ndcg is not None
        assert points["all", 11].ndcg.mean > 0
    without = token_curve(workload, WordVectorizer(), documents=100, show_progress_bar=False)
    assert list(without.points) == [p for p in curve.points if p.method not in ("rare", "attended")]
    assert "no pruning by rarity" in without.notes[1]
    assert "attention" in without.notes[2]
