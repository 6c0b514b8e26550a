"""The attention that tokens receive, against what transformers gives by itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from vectorplug import Vectorizer
from vectorplug.models.encoder import Encoder
from vectorplug.models.received import QUERIES_AT_ONCE, receiving_attention
from vectorplug.models.spans import kept_tokens

TEXTS = ["the sea and the ship", "bread", "Which of these texts is about the sea? " * 9]


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert", "qwen3"])
@pytest.mark.parametrize("colbert", [False, True])
def test_as_transformers_gives_it(tmp_path: Path, family: str, colbert: bool) -> None:
    write: Callable[..., Any] = checkpoints.write_tiny_colbert if colbert else checkpoints.write_tiny_dense
    write(tmp_path, family=family)
    encoder = Encoder(str(tmp_path), device="cpu", dtype="float32")
    before = encoder.forward(encoder.tokenize(TEXTS, "document"))
    got = encoder.attention(TEXTS)
    assert got is not None
    assert [len(each) for each in got] == before.lengths.tolist()
    # The library's own eager attention, of a model that was never touched.
    model: Any = Encoder(str(tmp_path), device="cpu", dtype="float32")._model
    backbone = model[0].model
    backbone.set_attn_implementation("eager")
    for text, one in zip(TEXTS, got, strict=True):
        features = model.preprocess([text], prompt=model.prompts.get("document"), task="document")
        given = {name: features[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in features}
        with torch.inference_mode():
            last = backbone(**given, output_attentions=True).attentions[-1]
        expected = last.mean(dim=(0, 1, 2)).numpy()
        # A ColBERT's punctuation has no vector, and yet is looked at.
        kept = kept_tokens(model, features, "document")[0].numpy()
        assert np.allclose(one, expected[kept], atol=1e-6)
        assert expected.sum() == pytest.approx(1, abs=1e-5)
    # The packed path has its attention back.
    after = encoder.forward(encoder.tokenize(TEXTS, "document"))
    assert np.array_equal(before.tokens, after.tokens)


def test_many_rows_are_taken_in_parts() -> None:
    class Kept:
        weights: torch.Tensor

    random = torch.Generator().manual_seed(0)
    shape = (1, 4, QUERIES_AT_ONCE + 70, 8)
    query, key, value = (torch.randn(shape, generator=random) for _ in range(3))
    kept: Any = Kept()
    output, _ = receiving_attention(
        torch.nn.Identity(), query, key[:, :2], value[:, :2], None, vectorplug_received=kept
    )
    wide = [each[:, :2].repeat_interleave(2, dim=1) for each in (key, value)]
    weights = (query @ wide[0].mT / 8**0.5).softmax(dim=-1)
    assert torch.allclose(output, (weights @ wide[1]).transpose(1, 2), atol=1e-5)
    assert torch.allclose(kept.weights, weights.mean(dim=(0, 1, 2)), atol=1e-6)


def test_a_model_without_attention_has_none(tmp_path: Path) -> None:
    static = StaticEmbedding(checkpoints.wordpiece(), embedding_dim=16)
    SentenceTransformer(modules=[static], device="cpu").save_pretrained(str(tmp_path))
    assert Vectorizer(str(tmp_path), fde=None).token_attention("the sea") is None


def test_the_vectorizer_obeys_its_document_length(tmp_path: Path) -> None:
    checkpoints.write_tiny_dense(tmp_path)
    vectorizer = Vectorizer(str(tmp_path), fde=None, document_length=8)
    tokens = vectorizer.encode_document(TEXTS).tokens
    assert tokens is not None
    got = vectorizer.token_attention(TEXTS)
    assert got is not None
    assert [len(each) for each in got] == tokens.lengths.tolist()
    assert max(tokens.lengths) == 8
