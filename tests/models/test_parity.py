"""The packed path against sentence-transformers' own encode, which is its oracle."""

import json
from pathlib import Path

import checkpoints
import numpy as np
import pytest
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer

from vectorplug import Vectorizer

TEXTS = [
    "the sea, and the ship!",
    "bread",
    "",
    "wave " * 200,
    "...!?",
    "Which of these texts is about the sea? " * 4,
    "\u00e9\u4e2d\U0001f30a \x00\x07 control",
]
LEAST_COSINE = 0.9999


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("family", sorted(checkpoints.BACKBONES))
def test_late_interaction_equals_the_library(tmp_path: Path, family: str, role: str) -> None:
    folder = checkpoints.write_tiny_colbert(tmp_path / "model", family=family)
    vectorizer = Vectorizer(str(folder), device="cpu", dtype="float32")
    assert vectorizer._encoder.is_packed == (family not in checkpoints.NOT_PACKED)
    model = MultiVectorEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    expected = getattr(model, f"encode_{role}")(TEXTS, convert_to_numpy=True)
    encoded = getattr(vectorizer, f"encode_{role}")(TEXTS, batch_tokens=40)
    assert encoded.tokens.lengths.tolist() == [len(tokens) for tokens in expected]
    assert (
        min(cosines(ours, theirs).min() for ours, theirs in zip(encoded.tokens, expected, strict=True)) > LEAST_COSINE
    )
    means = np.stack([tokens.mean(axis=0) for tokens in expected])
    assert cosines(encoded.dense, means).min() > LEAST_COSINE
    assert np.linalg.norm(encoded.dense, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("role", ["query", "document"])
def test_expansion_tokens_have_a_vector_only_where_a_mask_brings_them_back(tmp_path: Path, role: str) -> None:
    folder = checkpoints.write_tiny_colbert(tmp_path / "model", masked=False)
    vectorizer = Vectorizer(str(folder), device="cpu", dtype="float32")
    assert vectorizer._encoder.is_packed
    model = MultiVectorEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    expected = getattr(model, f"encode_{role}")(TEXTS, convert_to_numpy=True)
    found = getattr(vectorizer, f"encode_{role}")(TEXTS).tokens
    assert found.lengths.tolist() == [len(tokens) for tokens in expected]
    assert min(cosines(ours, theirs).min() for ours, theirs in zip(found, expected, strict=True)) > LEAST_COSINE
    spans = vectorizer._encoder.spans(TEXTS, role)
    assert [len(rows) for rows in spans] == found.lengths.tolist()


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("family", sorted(checkpoints.BACKBONES))
def test_a_dense_model_equals_the_library(tmp_path: Path, family: str, role: str) -> None:
    prompts = {"query": "question: ", "document": ""}
    folder = checkpoints.write_tiny_dense(tmp_path / "model", family=family, prompts=prompts)
    vectorizer = Vectorizer(str(folder), device="cpu", dtype="float32")
    assert vectorizer._encoder.is_packed == (family not in checkpoints.NOT_PACKED)
    model = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    encoded = getattr(vectorizer, f"encode_{role}")(TEXTS, batch_tokens=40)
    encode = getattr(model, f"encode_{role}")
    assert cosines(encoded.dense, encode(TEXTS)).min() > LEAST_COSINE
    for ours, theirs in zip(encoded.tokens, encode(TEXTS, output_value="token_embeddings"), strict=True):
        assert len(ours) == len(theirs)
        assert cosines(ours, theirs.numpy()).min() > LEAST_COSINE
        assert np.linalg.norm(ours, axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("pooling", ["cls", "mean", "max", "lasttoken", "weightedmean", "mean_sqrt_len_tokens"])
def test_every_pooling_is_the_library_s_own(tmp_path: Path, pooling: str) -> None:
    folder = checkpoints.write_tiny_dense(tmp_path / "model", pooling=pooling)
    vectorizer = Vectorizer(str(folder), device="cpu", dtype="float32")
    assert vectorizer._encoder.is_packed
    expected = SentenceTransformer(str(folder), device="cpu").encode_document(TEXTS)
    assert cosines(vectorizer.encode_document(TEXTS).dense, expected).min() > LEAST_COSINE


def test_prompt_tokens_stay_out_of_the_mean_where_the_checkpoint_says_so(tmp_path: Path) -> None:
    prompts = {"query": "question number the sea: ", "document": ""}
    folder = checkpoints.write_tiny_dense(tmp_path / "model", prompts=prompts, include_prompt=False)
    expected = SentenceTransformer(str(folder), device="cpu").encode_query(TEXTS)
    found = Vectorizer(str(folder), device="cpu", dtype="float32").encode_query(TEXTS).dense
    assert cosines(found, expected).min() > LEAST_COSINE


def test_the_default_prompt_yields_to_a_role_s_own_even_to_an_empty_one(tmp_path: Path) -> None:
    folder = checkpoints.write_tiny_colbert(tmp_path / "model")
    settings = json.loads((folder / "config_sentence_transformers.json").read_text())
    settings |= {"prompts": {"query": "[unused0] ", "search": "which of these: "}, "default_prompt_name": "search"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    model = MultiVectorEncoder(str(folder), device="cpu")
    vectorizer = Vectorizer(str(folder), device="cpu", dtype="float32")
    for role, prompt in (("query", "[unused0] "), ("document", "")):
        expected = getattr(model, f"encode_{role}")(TEXTS, convert_to_numpy=True)
        named = model.encode(TEXTS, prompt=prompt, task=role, convert_to_numpy=True)
        found = getattr(vectorizer, f"encode_{role}")(TEXTS).tokens
        for ours, theirs, same in zip(found, expected, named, strict=True):
            assert len(ours) == len(theirs) == len(same)
            assert min(cosines(ours, theirs).min(), cosines(ours, same).min()) > LEAST_COSINE


def test_the_length_is_the_module_s_where_the_tokenizer_has_another(tmp_path: Path) -> None:
    folder = checkpoints.write_tiny_dense(tmp_path / "model", limit=64)
    settings = {"max_seq_length": 20, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    encoded = Vectorizer(str(folder), device="cpu", dtype="float32").encode_document(TEXTS)
    expected = SentenceTransformer(str(folder), device="cpu").encode_document(TEXTS)
    assert cosines(encoded.dense, expected).min() > LEAST_COSINE
    assert encoded.tokens.lengths.max() == 20
    assert encoded.truncated[3] == 202 - 20


def test_a_module_that_the_packed_path_does_not_know_runs_through_the_library(tmp_path: Path) -> None:
    folder = checkpoints.write_tiny_colbert(tmp_path / "model", pool_factor=2)
    vectorizer = Vectorizer(str(folder), device="cpu")
    assert not vectorizer._encoder.is_packed
    expected = MultiVectorEncoder(str(folder), device="cpu").encode_document(TEXTS, convert_to_numpy=True)
    encoded = vectorizer.encode_document(TEXTS)
    assert encoded.tokens.lengths.tolist() == [len(tokens) for tokens in expected]
    assert max(np.abs(a - b).max() for a, b in zip(encoded.tokens, expected, strict=True)) < 1e-5


def test_a_model_without_a_transformer_gives_its_one_vector(tiny_dense: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_dense / "tokenizer.json"))
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    model.save(str(tmp_path / "static"))
    encoded = Vectorizer(str(tmp_path / "static"), device="cpu").encode_document(["the sea", "bread and flour"])
    expected = model.encode(["the sea", "bread and flour"])
    assert cosines(encoded.dense, expected).min() > LEAST_COSINE
    assert encoded.tokens.lengths.tolist() == [1, 1]
    assert encoded.truncated.tolist() == [0, 0]


def test_a_trained_colbert_equals_the_library(shared_data: Path) -> None:
    folder = str(shared_data / "colbert-minilm")
    model = MultiVectorEncoder(folder, device="cpu", model_kwargs={"dtype": torch.float32})
    vectorizer = Vectorizer(folder, device="cpu", dtype="float32")
    for role in ("query", "document"):
        expected = getattr(model, f"encode_{role}")(TEXTS, convert_to_numpy=True)
        encoded = getattr(vectorizer, f"encode_{role}")(TEXTS)
        assert encoded.tokens.lengths.tolist() == [len(tokens) for tokens in expected]
        assert min(cosines(a, b).min() for a, b in zip(encoded.tokens, expected, strict=True)) > LEAST_COSINE
