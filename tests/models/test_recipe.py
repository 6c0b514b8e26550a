"""What a vectorizer cuts in all its calls: as the library cuts it, counted, and named in the fingerprint."""

from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import MultiVectorEncoder, SentenceTransformer

from vectorplug import ModelCache, Vectorizer
from vectorplug.errors import ConfigurationError
from vectorplug.models.encoder import Encoder
from vectorplug.models.recipe import Recipe

TEXTS = ["the sea, and the ship on the salt wave " * 3, "bread", "", "wave wind salt shore"]


def made(folder: Path, **options: Any) -> Vectorizer:
    return Vectorizer(str(folder), device="cpu", dtype="float32", **options)


@pytest.mark.parametrize("family", ["bert", "mpnet"])  # one that runs packed, one that the library runs
@pytest.mark.parametrize("length", [4, 9])
def test_lengths_are_the_library_s_own(tmp_path: Path, family: str, length: int) -> None:
    folder = checkpoints.write_tiny_colbert(tmp_path / "m", family=family)
    model = MultiVectorEncoder(str(folder), device="cpu")
    model[0].document_length = length
    model[0].query_expansion = {**model[0].query_expansion, "length": length}
    vectorizer = made(folder, document_length=length, query_length=length)
    documents, queries = vectorizer.encode_document(TEXTS).tokens, vectorizer.encode_query(TEXTS).tokens
    assert documents is not None
    assert queries is not None
    assert queries.lengths.tolist() == [length] * len(TEXTS)
    for found, expected in (
        (documents, model.encode_document(TEXTS, convert_to_numpy=True)),
        (queries, model.encode_query(TEXTS, convert_to_numpy=True)),
    ):
        assert found.lengths.tolist() == [len(tokens) for tokens in expected]
        assert max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True)) < 1e-5


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_lengths_of_a_dense_model(tmp_path: Path, family: str) -> None:
    folder = checkpoints.write_tiny_dense(tmp_path / "m", family=family)
    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = 6
    found = made(folder, document_length=6, query_length=6)
    expected = model.encode(TEXTS, normalize_embeddings=True)
    for encoded in (found.encode_document(TEXTS), found.encode_query(TEXTS)):
        assert encoded.dense is not None
        assert encoded.tokens is not None
        assert np.abs(encoded.dense - expected).max() < 1e-5
        assert encoded.tokens.lengths.max() == 6


def test_less_of_a_query_by_the_model_that_is_loaded(tiny_colbert: Path) -> None:
    whole = made(tiny_colbert, document_length=9)
    short, expected = whole.with_query_length(5), made(tiny_colbert, document_length=9, query_length=5)
    assert short.fingerprint == expected.fingerprint != whole.fingerprint
    found, wanted = (each.encode_query(TEXTS).tokens for each in (short, expected))
    assert found is not None
    assert wanted is not None
    assert np.array_equal(found.values, wanted.values)
    with pytest.raises(ConfigurationError, match="query_length is 3"):
        whole.with_query_length(3)
    with pytest.raises(ConfigurationError, match="the model reads no more"):
        whole.with_query_length(10_000)


def test_what_is_cut_off_is_counted(tiny_dense: Path) -> None:
    encoded = made(tiny_dense, document_length=10).encode_document(["sea " * 100, "sea", "sea " * 8, "sea " * 9])
    assert encoded.truncated is not None
    assert encoded.token_counts is not None
    assert encoded.truncated.tolist() == [100 + 2 - 10, 0, 0, 1]
    assert encoded.token_counts.tolist() == [10, 3, 10, 10]


def test_the_fde_is_folded_from_the_tokens_that_are_read_whole(tiny_colbert: Path) -> None:
    recipe = made(tiny_colbert, document_length=9, pool_factor=2, dimensions=6).encode_document(TEXTS)
    whole = made(tiny_colbert, document_length=9).encode_document(TEXTS)
    assert np.array_equal(recipe.fde, whole.fde)
    assert not np.array_equal(whole.fde, made(tiny_colbert).encode_document(TEXTS).fde)


def test_defaults_of_the_calls(tiny_colbert: Path) -> None:
    plain, recipe = made(tiny_colbert), made(tiny_colbert, pool_factor=2, dimensions=6)
    assert recipe.dims == {"tokens": 6, "fde": plain.dims["fde"], "dense": 6}
    same = plain.encode_document(TEXTS, pool_factor=2, dimensions=6)
    encoded = recipe.encode_document(TEXTS)
    np.testing.assert_array_equal(encoded.tokens.values, same.tokens.values)
    np.testing.assert_array_equal(encoded.dense, same.dense)
    query, cut = recipe.encode_query(TEXTS).tokens, plain.encode_query(TEXTS, dimensions=6).tokens
    np.testing.assert_array_equal(query.values, cut.values)
    # A call may say otherwise.
    wider, whole = recipe.encode_document(TEXTS, pool_factor=1, dimensions=12), plain.encode_document(TEXTS)
    assert wider.tokens.lengths.tolist() == whole.tokens.lengths.tolist()
    assert wider.tokens.dim == 12


def test_the_fingerprint_says_what_is_cut_and_nothing_else(tiny_colbert: Path) -> None:
    own = made(tiny_colbert).fingerprint
    cuts = {
        own + ":doc9": {"document_length": 9},
        own + ":query5": {"query_length": 5},
        own + ":dims6": {"dimensions": 6},
        own + ":pool1.5": {"pool_factor": 1.5},
        own + ":doc9:query5:dims6:pool2": {
            "document_length": 9,
            "query_length": 5,
            "dimensions": 6,
            "pool_factor": 2.0,
        },
        # The checkpoint's own limits and dims, and pools of one.
        own: {"document_length": 64, "query_length": 16, "dimensions": 16, "pool_factor": 1},
    }
    for expected, options in cuts.items():
        vectorizer = made(tiny_colbert, **options)
        assert vectorizer.fingerprint == expected
        again = made(tiny_colbert, **vectorizer.recipe.model_dump())
        assert (again.recipe, again.fingerprint) == (vectorizer.recipe, expected)


positive = st.none() | st.integers(4, 10_000)


@given(st.none() | st.floats(1, 1e6), positive, positive, positive, st.none() | st.floats(1, 1e6), positive, positive)
def test_recipes_differ_where_their_fingerprints_do(
    pool: float | None,
    document: int | None,
    query: int | None,
    dims: int | None,
    other_pool: float | None,
    other_document: int | None,
    other_query: int | None,
) -> None:
    one = Recipe(pool_factor=pool, document_length=document, query_length=query, dimensions=dims)
    other = Recipe(pool_factor=other_pool, document_length=other_document, query_length=other_query, dimensions=dims)
    assert (one == other) == (one.fingerprint == other.fingerprint)
    assert Recipe.model_validate_json(one.model_dump_json()) == one


def test_one_cached_model_serves_several_lengths(tiny_colbert: Path) -> None:
    with ModelCache(device="cpu", dtype="float32") as cache:
        name = str(tiny_colbert)
        short = Vectorizer(name, cache=cache, document_length=5)
        plain = Vectorizer(name, cache=cache)
        shorter = Vectorizer(name, cache=cache, document_length=4, query_length=4)
        lengths = [each.encode_document(TEXTS[0]).tokens.lengths.tolist() for each in (short, plain, shorter, plain)]
        whole = plain.encode_document(TEXTS[0]).tokens.lengths.tolist()
        assert lengths[1] == lengths[3] == whole
        assert lengths[2][0] <= 4 < lengths[0][0] + 1 <= 6 < whole[0]
        assert plain.encode_query(TEXTS[0]).tokens.lengths.tolist() == [16]


def test_spans_are_those_of_the_tokens_that_are_read(tiny_colbert: Path) -> None:
    encoder = Encoder(str(tiny_colbert), device="cpu", dtype="float32")
    pieces = encoder.forward(encoder.tokenize(TEXTS, "document", 7)).split()
    assert [len(spans) for spans in encoder.spans(TEXTS, "document", 7)] == [len(piece) for piece in pieces]
    assert len(encoder.spans(TEXTS, "document")[0]) > len(pieces[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pool_factor": 0.5}, "pool_factor is 0.5, expected greater than or equal to 1."),
        ({"pool_factor": float("nan")}, "pool_factor is nan, expected a finite number."),
        ({"document_length": 3}, "document_length is 3, expected greater than or equal to 4."),
        ({"document_length": 65}, "document_length is 65, expected at most 64: the model reads no more."),
        ({"query_length": 17}, "query_length is 17, expected at most 16: the model reads no more."),
        ({"query_length": 8.0}, "query_length is 8.0, expected a valid integer."),
        ({"dimensions": 0}, "dimensions is 0, expected greater than or equal to 1."),
        ({"dimensions": 17}, "dimensions is 17, expected at most 16: the model's vectors have no more numbers."),
    ],
)
def test_what_no_model_or_not_this_one_obeys(tiny_colbert: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(tiny_colbert, **options)
    assert str(caught.value) == said
