"""Matches and FDEs taken apart: whatever the parts are, they add up to the scores that a search works with."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorplug import MultiVectors, Muvera
from vectorplug.evaluation.matches import MARKER, matched, named, pieces, seen
from vectorplug.maxsim import reference

DIM = 12


def tokens(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, DIM)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def product(muvera: Muvera, query: np.ndarray, document: np.ndarray) -> float:
    """What a database computes: the inner product of the two encoded vectors."""
    asked = muvera.encode_queries(MultiVectors.from_list([query]))[0].astype(np.float64)
    return float(asked @ muvera.encode_documents(MultiVectors.from_list([document]))[0].astype(np.float64))


@pytest.mark.parametrize("dialect", ["fastembed", "google", "weaviate"])
@given(
    queries=st.integers(1, 9),
    documents=st.integers(1, 30),
    ksim=st.integers(0, 5),
    dproj=st.sampled_from([None, 4, DIM]),
    fill=st.booleans(),
    unit_norm=st.booleans(),
    final_dim=st.sampled_from([None, 3, 37]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_the_parts_add_up_to_the_inner_product(
    dialect: Any, queries: int, documents: int, ksim: int, dproj: int | None, seed: int, **options: Any
) -> None:
    repetitions = 5
    size = repetitions * 2**ksim * (dproj or DIM)
    options["final_dim"] = options["final_dim"] if (options["final_dim"] or 0) <= size else None
    muvera = Muvera(dim=DIM, repetitions=repetitions, ksim=ksim, dproj=dproj, dialect=dialect, **options)
    query, document = tokens(queries, seed), tokens(documents, seed + 1)
    apart = seen(muvera, query, document)
    assert apart.contributions.shape == (queries, repetitions)
    assert apart.score == pytest.approx(product(muvera, query, document), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("final_dim", [None, 50])
def test_a_query_tokens_part_is_that_of_a_query_of_this_token_alone(final_dim: int | None) -> None:
    muvera = Muvera(dim=DIM, repetitions=7, ksim=3, dproj=6, fill=False, final_dim=final_dim)
    query, document = tokens(5, 3), tokens(20, 4)
    apart = seen(muvera, query, document)
    for i in range(5):
        alone = product(muvera, query[i : i + 1], document)
        assert apart.contributions[i].sum() == pytest.approx(alone, abs=1e-4)


def test_blocks_and_their_company() -> None:
    muvera = Muvera(dim=DIM, repetitions=6, ksim=4, dproj=None, fill=False)
    query, document = tokens(4, 5), tokens(9, 6)
    apart, planes = seen(muvera, query, document), muvera.matrices.planes
    best = (query @ document.T).argmax(axis=1)
    for i in range(4):
        for r in range(6):
            own = planes[r] @ query[i] > 0
            beside = [j for j in range(9) if ((planes[r] @ document[j] > 0) == own).all()]
            assert apart.company[i, r] == len(beside)
            assert apart.alone[i, r] == (not beside)
            assert apart.with_match[i, r] == (best[i] in beside)
            mean = document[beside].mean(axis=0) @ query[i] if beside else 0.0
            assert apart.contributions[i, r] == pytest.approx(mean, abs=1e-5)
            assert apart.before[i, r] == pytest.approx(mean, abs=1e-5)
    assert apart.alone.any()
    assert apart.with_match.any()


def test_a_token_alone_with_its_like_is_seen_whole() -> None:
    token = tokens(1, 7)
    apart = seen(Muvera(dim=DIM, repetitions=3, ksim=4, dproj=None, fill=False), token, token)
    np.testing.assert_allclose(apart.caught, [1.0], atol=1e-5)
    assert apart.with_match.all()


def test_projection_blurs_what_the_blocks_hold() -> None:
    muvera = Muvera(dim=DIM, repetitions=40, ksim=2, dproj=2, fill=False)
    query, document = tokens(3, 8), tokens(12, 9)
    apart, exact = seen(muvera, query, document), seen(replace(muvera, dproj=None), query, document)
    assert not np.allclose(apart.caught, apart.in_blocks, atol=0.02)
    np.testing.assert_allclose(exact.caught, exact.in_blocks, atol=1e-5)
    np.testing.assert_allclose(apart.in_blocks, exact.in_blocks, atol=1e-5)  # fastembed's planes are the same


def test_at_unit_norm_the_norm_is_taken_out_of_what_was_caught() -> None:
    plain = Muvera(dim=DIM, repetitions=5, ksim=3, dproj=4, fill=False)
    query, document = tokens(3, 10), tokens(12, 11)
    apart = seen(replace(plain, unit_norm=True), query, document)
    assert apart.norm != pytest.approx(1.0, abs=0.1)
    np.testing.assert_allclose(apart.caught, seen(plain, query, document).caught, rtol=1e-4, atol=1e-5)


def test_matches_are_those_of_maxsim() -> None:
    query, document = tokens(6, 12), tokens(17, 13)
    matches = matched([], [], query, document)
    expected = reference.maxsim(query, MultiVectors.from_list([document]))[0]
    assert matches.maxsim == pytest.approx(float(expected), abs=1e-5)
    assert matches.similarities[2, matches.best[2]] == matches.scores[2]


def test_tokens_are_called_by_their_characters() -> None:
    text = "An insulin-like word"
    spans = np.array([[-1, -1], [0, 2], [3, 6], [6, 10], [10, 11], [11, 15], [16, 20], [-1, -1]], np.int32)
    labels = [token.label for token in named(text, spans)]
    assert labels == [MARKER, "An", "ins", "…ulin", "-", "like", "word", MARKER]


def test_pieces_are_the_text() -> None:
    text = "  sea 🌊 wave."
    spans = np.array([[-1, -1], [2, 5], [6, 7], [6, 7], [8, 12], [12, 13]], np.int32)
    cut = pieces(text, named(text, spans))
    assert "".join(piece for piece, _ in cut) == text
    assert [(piece, places) for piece, places in cut if places] == [
        ("sea", (1,)),
        ("🌊", (2, 3)),
        ("wave", (4,)),
        (".", (5,)),
    ]
    assert pieces("no token", named("no token", np.full((3, 2), -1, np.int32))) == [("no token", ())]


@given(st.text(max_size=30), st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=8))
def test_pieces_are_the_text_whatever_the_spans(text: str, drawn: list[tuple[int, int]]) -> None:
    spans = [(min(start, len(text)), min(start + length, len(text))) for start, length in drawn]
    given_ = named(text, np.array([span for span in spans if span[0] < span[1]], np.int32).reshape(-1, 2))
    assert "".join(piece for piece, _ in pieces(text, given_)) == text
