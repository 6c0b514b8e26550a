"""Pairs of texts that try a claim, and what vectors of known behaviour make of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from corpus import WordVectorizer

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError
from vectorplug.evaluation import Collection, Document, evaluate
from vectorplug.evaluation.picturing import sections
from vectorplug.evaluation.probes import KINDS, make_probes, probe
from vectorplug.multivectors import MultiVectors

WORDS = ("sea", "ship", "wave", "wind", "salt", "bread", "flour", "oven", "wing", "heat", "stone", "tree")
DOCUMENTS = [
    Document(
        str(i),
        f"The {WORDS[i % 12]} of {WORDS[(5 * i + 1) % 12]} number {i} was taken by Anna to Bergen in {1900 + i}. "
        f"Short one. Then {WORDS[(i * 7) % 12]} and {WORDS[(i // 12) % 12]} number {i} went to Oslo with {i + 3} more.",
        {},
    )
    for i in range(60)
]


class BagOfWords:
    """A dense vector that counts words, so that it cannot see their order, and tokens that know the word before."""

    model = fingerprint = "bag"
    fde = None
    dims: Mapping[Output, int] = {"tokens": 64, "dense": 4096}

    def encode_document(self, texts: Sequence[str], **_: Any) -> Encoded:
        return self.bags(texts)

    def encode_query(self, texts: Sequence[str], **_: Any) -> Encoded:
        return self.bags(texts)

    def bags(self, texts: Sequence[str]) -> Encoded:
        dense = np.zeros((len(texts), 4096), np.float32)
        tokens = []
        for i, text in enumerate(texts):
            words = text.split()
            numbers = [sum(ord(letter) * 31**place for place, letter in enumerate(word)) for word in words]
            np.add.at(dense[i], [number % 4096 for number in numbers], 1)
            before = [0, *numbers[:-1]]
            rows = [np.random.default_rng(pair).standard_normal(64) for pair in zip(numbers, before, strict=True)]
            tokens.append(np.array([row / np.linalg.norm(row) for row in rows], np.float32))
        return Encoded(MultiVectors.from_list(tokens), None, dense)


def test_every_pair_is_what_its_kind_says() -> None:
    probes = make_probes(DOCUMENTS, each=20)
    assert Counter(each.kind for each in probes) == dict.fromkeys(KINDS, 20)
    texts = " ".join(document.text for document in DOCUMENTS)
    for each in probes:
        right, wrong = each.right.split(), each.wrong.split()
        assert each.right != each.wrong
        assert each.query in texts
        if each.kind in ("word order", "swapped names", "exact phrase"):
            assert Counter(right) == Counter(wrong) or each.kind == "swapped names"
            assert each.right in texts
        if each.kind == "swapped names":
            changed = [i for i, pair in enumerate(zip(right, wrong, strict=True)) if pair[0] != pair[1]]
            assert len(changed) == 2
            assert right[changed[0]].strip(".,") == wrong[changed[1]].strip(".,")
        if each.kind == "exact phrase":
            assert each.query in each.right
            assert each.query not in each.wrong
            assert len(each.query.split()) == 4
        if each.kind.endswith("sentences") or each.kind == "1 sentence":
            assert each.query in each.right
            assert each.query not in each.wrong
            assert len(right) > 8 * (16 if "16" in each.kind else 4 if "4" in each.kind else 1)


def test_seeds_decide() -> None:
    assert make_probes(DOCUMENTS, each=10) == make_probes(DOCUMENTS, each=10)
    assert make_probes(DOCUMENTS, each=10) != make_probes(DOCUMENTS, each=10, seed=1)


def test_vectors_that_cannot_see_order_are_told_from_those_that_can() -> None:
    found = {each.kind: each for each in probe(make_probes(DOCUMENTS, each=30), BagOfWords())}
    order = found["word order"]
    assert order.pairs == 30
    assert order.shares["dense"].mean == 0.5, "equal scores count half"
    assert order.shares["tokens"].mean == 1.0
    assert found["exact phrase"].shares["dense"].mean == 0.5
    assert found["exact phrase"].shares["tokens"].mean > 0.9
    # A sentence among others: the bag still counts its words.
    assert found["of 16 sentences"].shares["tokens"].mean == 1.0
    low, high = found["of 16 sentences"].shares["dense"].low, found["of 16 sentences"].shares["dense"].high
    assert low is not None
    assert high is not None
    assert 0 <= low <= found["of 16 sentences"].shares["dense"].mean <= high <= 1


def test_kinds_without_material_are_left_out() -> None:
    plain = [Document(str(i), f"the {word} lies under a cloud and no {word} flies", {}) for i, word in enumerate(WORDS)]
    assert {each.kind for each in make_probes(plain, each=10)} == {
        "word order", "exact phrase", "1 sentence", "of 4 sentences",
    }  # fmt: skip
    with pytest.raises(InputError, match=r"0 of 2 documents have a sentence of 8 to 40 words, expected at least 5"):
        make_probes([Document("a", "too short", {}), Document("b", "", {})])


def test_the_page_has_them() -> None:
    queries = {"a": "the sea and the ship", "b": "bread out of the oven", "c": "heat of a stone"}
    outcome = evaluate(Collection("words", tuple(DOCUMENTS), queries, {}), WordVectorizer(), show_progress_bar=False)
    tried = probe(make_probes(DOCUMENTS, each=10), BagOfWords())
    found = {each.title: each for each in sections(outcome, tried)}
    figure = found["Probes"].figure
    assert figure is not None
    assert {cell for row in figure.table.rows for cell in row} >= {*KINDS, "tokens (MaxSim)", "dense"}
    assert "FDE" not in {cell for row in figure.table.rows for cell in row}, "the bag gives none"
    bytes_figure = found["overlap@10 against bytes"].figure
    assert bytes_figure is not None
    assert {row[0] for row in bytes_figure.table.rows} == set(outcome.modes)
    changes = found["fde: query by query"].figure
    assert changes is not None
    assert len(changes.table.rows) == 3
    assert "Probes" not in {each.title for each in sections(outcome, [])}
