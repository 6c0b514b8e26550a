"""What `Vectorizer` promises, on tiny random checkpoints."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checkpoints
import numpy as np
import pytest

from vectorplug import Muvera, Vectorizer
from vectorplug.errors import ConfigurationError, InputError, VectorplugError


@pytest.fixture(scope="module")
def colbert(tiny_colbert: Path) -> Vectorizer:
    return Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def dense(tiny_dense: Path) -> Vectorizer:
    return Vectorizer(str(tiny_dense), device="cpu", dtype="float32")


def test_all_three_outputs_come_with_the_dims_that_are_announced(colbert: Vectorizer) -> None:
    encoded = colbert.encode_document(["the sea", "a ship on the sea"])
    assert colbert.dims == {"tokens": 16, "fde": 20 * 32 * 16, "dense": 16}
    assert (encoded.tokens.dim, encoded.fde.shape, encoded.dense.shape) == (16, (2, 20 * 32 * 16), (2, 16))
    assert encoded.tokens.dtype == encoded.fde.dtype == encoded.dense.dtype == np.float32


def test_the_fde_is_made_of_the_tokens_that_are_returned(colbert: Vectorizer) -> None:
    assert isinstance(colbert.fde, Muvera)
    documents, queries = colbert.encode_document(["the sea", "bread"]), colbert.encode_query(["the sea"])
    assert np.array_equal(documents.fde, colbert.fde.encode_documents(documents.tokens))
    assert np.array_equal(queries.fde, colbert.fde.encode_queries(queries.tokens))


def test_queries_and_documents_differ_as_the_checkpoint_says(colbert: Vectorizer) -> None:
    query, document = colbert.encode_query("the sea"), colbert.encode_document("the sea")
    assert query.tokens.lengths.tolist() == [16]  # expanded with [MASK]
    assert document.tokens.lengths.tolist() == [5]  # [CLS] [unused1] the sea [SEP]
    assert not np.allclose(query.tokens[0][1], document.tokens[0][1])  # another marker


def test_results_stand_in_the_order_of_the_input(colbert: Vectorizer) -> None:
    texts = ["wave " * n + "shore" for n in (1, 30, 3, 18, 2)]
    together = colbert.encode_document(texts, batch_tokens=40)
    for i, text in enumerate(texts):
        alone = colbert.encode_document(text)
        assert np.allclose(together.tokens[i], alone.tokens[0], atol=1e-5)
        assert np.allclose(together.dense[i], alone.dense[0], atol=1e-5)


def test_what_is_cut_off_is_counted(dense: Vectorizer) -> None:
    encoded = dense.encode_document(["sea " * 100, "sea", "sea " * 62, "sea " * 63])
    assert encoded.truncated.tolist() == [100 + 2 - 64, 0, 0, 1]
    assert encoded.tokens.lengths.tolist() == [64, 3, 64, 64]


def test_only_what_is_asked_for_is_returned(colbert: Vectorizer) -> None:
    fde = colbert.encode_document(["the sea"], outputs=["fde"])
    assert (fde.tokens, fde.dense) == (None, None)
    assert fde.fde is not None
    dense = colbert.encode_document(["the sea"], outputs=["dense"])
    assert (dense.tokens, dense.fde) == (None, None)


def test_no_text_gives_an_empty_result(colbert: Vectorizer) -> None:
    encoded = colbert.encode_document([])
    assert (len(encoded), len(encoded.tokens)) == (0, 0)
    assert (encoded.tokens.dim, encoded.fde.shape, encoded.dense.shape) == (16, (0, 10240), (0, 16))


def test_hard_texts_are_encoded_and_harm_no_other(colbert: Vectorizer) -> None:
    texts = ["", " \n\t ", "bread " * 100_000, "\x00\x01\x1f", "\U0001f30a\U0001f9c1" * 50, "the sea", "\u202e\ufeff"]
    encoded = colbert.encode_document(texts)
    assert (encoded.tokens.lengths >= 2).all()
    assert encoded.truncated[2] > 99_000
    assert np.isfinite(encoded.dense).all()
    assert np.allclose(encoded.tokens[5], colbert.encode_document("the sea").tokens[0], atol=1e-5)


def test_ten_thousand_short_texts(colbert: Vectorizer) -> None:
    encoded = colbert.encode_document(["sea"] * 10_000, outputs=["tokens"])
    assert len(encoded) == 10_000
    assert np.allclose(encoded.tokens.values.reshape(10_000, -1), encoded.tokens[0].ravel(), atol=1e-5)


@pytest.mark.parametrize(("bad", "said"), [(3, "text 1 is a int"), (None, "a NoneType"), ("\ud800", "lone surrogate")])
def test_a_text_that_cannot_be_encoded_is_named(colbert: Vectorizer, bad: object, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        colbert.encode_document(["the sea", bad])
    assert caught.value.index == 1


def test_wrong_use_says_what_is_expected(colbert: Vectorizer, tiny_colbert: Path) -> None:
    with pytest.raises(ConfigurationError, match="expected a sequence of tokens, fde, dense"):
        colbert.encode_document(["x"], outputs=["sparse"])
    with pytest.raises(ConfigurationError, match="batch_tokens is 0"):
        colbert.encode_document(["x"], batch_tokens=0)
    without = Vectorizer(str(tiny_colbert), fde=None)
    assert "fde" not in without.dims
    with pytest.raises(ConfigurationError, match="fde=None"):
        without.encode_document(["x"], outputs=["fde"])
    with pytest.raises(ConfigurationError, match=r"tokens of 128 numbers, .* gives 16"):
        Vectorizer(str(tiny_colbert), fde=Muvera(dim=128))
    with pytest.raises(ConfigurationError, match="dtype 'int4'"):
        Vectorizer(str(tiny_colbert), dtype="int4")
    with pytest.raises(ConfigurationError, match="device 'tpu9'"):
        Vectorizer(str(tiny_colbert), device="tpu9")


def test_the_fingerprint_is_the_checkpoint_s_not_the_folder_s(tmp_path: Path) -> None:
    one = checkpoints.write_tiny_colbert(tmp_path / "a" / "model")
    moved = checkpoints.write_tiny_colbert(tmp_path / "b" / "model")
    retrained = checkpoints.write_tiny_colbert(tmp_path / "c" / "model", seed=1)
    longer = checkpoints.write_tiny_colbert(tmp_path / "d" / "model", limit=32)
    prints = [Vectorizer(str(folder)).fingerprint for folder in (one, moved, retrained, longer)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_bfloat16_is_close_to_float32(tiny_colbert: Path, colbert: Vectorizer) -> None:
    texts = ["the sea", "a ship on the sea", "bread and flour"]
    half = Vectorizer(str(tiny_colbert), device="cpu", dtype="bfloat16").encode_document(texts)
    full = colbert.encode_document(texts)
    assert half.tokens.dtype == np.float32
    assert (half.tokens.values * full.tokens.values).sum(axis=1).min() > 0.99


def test_threads_may_share_one(colbert: Vectorizer) -> None:
    texts = [f"document number {n} on the sea" * (n % 5 + 1) for n in range(24)]
    expected = [colbert.encode_document(text).dense for text in texts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: colbert.encode_document(text).dense, texts))
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(expected, found, strict=True))


def test_the_bar_is_quiet_in_a_pipe_and_shows_when_asked(
    colbert: Vectorizer, capsys: pytest.CaptureFixture[str]
) -> None:
    colbert.encode_document(["the sea"])
    assert capsys.readouterr() == ("", "")
    colbert.encode_document(["the sea"], show_progress_bar=True)
    assert "Encoding documents" in capsys.readouterr().err


def test_every_refusal_is_a_vectorplug_error() -> None:
    with pytest.raises(VectorplugError):
        Vectorizer("no such model")
