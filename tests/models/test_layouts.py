"""Other libraries' layouts against what those libraries make of the very same checkpoints."""

from pathlib import Path

import goldens
import jina_reference
import layouts
import numpy as np
import pytest
import torch

from vectorplug import Vectorizer
from vectorplug.models.catalog import resolve
from vectorplug.models.library import LibraryEncoder
from vectorplug.models.loading import load
from vectorplug.models.tokenizing import tokenize

LEAST_COSINE = 0.9999
ROLES = ["query", "document"]


def loaded(folder: Path) -> Vectorizer:
    vectorizer = Vectorizer(str(folder), fde=None, device="cpu", dtype="float32")
    assert vectorizer._encoder.is_packed
    return vectorizer


def assert_same_tokens(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert [len(tokens) for tokens in found] == [len(tokens) for tokens in expected]
    for ours, theirs in zip(found, expected, strict=True):
        norms = np.linalg.norm(ours, axis=1)
        assert norms == pytest.approx(1, abs=1e-5)
        cosines = (ours * theirs).sum(axis=1) / norms / np.linalg.norm(theirs, axis=1)
        assert cosines.min() >= LEAST_COSINE


@pytest.mark.parametrize("case", [*layouts.PYLATE, layouts.PYLATE_SAVED])
def test_pylate(tmp_path: Path, case: str) -> None:
    golden = goldens.Golden("pylate")
    folder = layouts.write_pylate(tmp_path, **layouts.PYLATE.get(case, layouts.PYLATE_TO_SAVE))
    if case == layouts.PYLATE_SAVED:
        for name, text in golden.facts["saved_files"].items():
            (folder / name).write_text(text, "utf-8")
    assert layouts.checksum(folder) == golden.facts["checksums"][case]
    vectorizer = loaded(folder)
    for role in ROLES:
        encoded = getattr(vectorizer, f"encode_{role}")(layouts.TEXTS, batch_tokens=50)
        assert_same_tokens(encoded.tokens.to_list(), golden.vectors(case, role))


@pytest.mark.parametrize("case", layouts.STANFORD)
def test_stanford(tmp_path: Path, case: str) -> None:
    golden = goldens.Golden("stanford")
    folder = layouts.write_stanford(tmp_path, **layouts.STANFORD[case])
    assert layouts.checksum(folder) == golden.facts["checksums"][case]
    vectorizer = loaded(folder)
    for role in ROLES:
        encoded = getattr(vectorizer, f"encode_{role}")(layouts.TEXTS, batch_tokens=50)
        assert_same_tokens(encoded.tokens.to_list(), golden.vectors(case, role))


@pytest.mark.parametrize("modules", [True, False], ids=["with modules.json", "without"])
def test_bge_m3_gives_its_own_dense_vector_beside_its_tokens(tmp_path: Path, modules: bool) -> None:
    golden = goldens.Golden("bge_m3")
    folder = layouts.write_bge_m3(tmp_path, modules=modules)
    assert layouts.checksum(folder) == golden.facts["checksums"]["bge-m3"]
    vectorizer = loaded(folder)
    assert vectorizer._encoder.is_multi_vector
    for role in ROLES:
        encoded = getattr(vectorizer, f"encode_{role}")(layouts.TEXTS, batch_tokens=50)
        assert_same_tokens(encoded.tokens.to_list(), golden.vectors("bge-m3", role))
        assert_same_tokens([vector[None] for vector in encoded.dense], golden.vectors("bge-m3", "dense"))


def test_bge_m3_where_the_packed_path_does_not_take_it(tmp_path: Path) -> None:
    folder = layouts.write_bge_m3(tmp_path)
    checkpoint = load(resolve(str(folder)), torch.device("cpu"))
    piece = LibraryEncoder(checkpoint).forward(tokenize(checkpoint.model, layouts.TEXTS, "document"))
    golden = goldens.Golden("bge_m3")
    assert_same_tokens(piece.split(), golden.vectors("bge-m3", "document"))
    assert_same_tokens([vector[None] for vector in piece.dense], golden.vectors("bge-m3", "dense"))


METADATA = {
    "query_token_id": "[QueryMarker]",
    "doc_token_id": "[DocumentMarker]",
    "query_maxlen": 16,
    "doc_maxlen": 40,
    "mask_punctuation": True,
    "attend_to_mask_tokens": True,
}


@pytest.mark.parametrize("base", [None, 20_000.0], ids=["no rotary base", "its own rotary base"])
@pytest.mark.parametrize(
    "metadata",
    [
        METADATA,
        # The oldest files say nothing of attention and name Stanford's own markers, which the tokenizer lacks.
        {"query_maxlen": 16, "doc_maxlen": 40, "query_token_id": "[unused0]", "doc_token_id": "[unused1]"},
    ],
    ids=["metadata", "little metadata"],
)
def test_jina_colbert_runs_without_its_own_code(
    tmp_path: Path, metadata: dict[str, object], base: float | None
) -> None:
    folder = layouts.write_jina_colbert(tmp_path, metadata=metadata, base=base)
    vectorizer = loaded(folder)
    for role, length in (("query", 16), ("document", 40)):
        encoded = getattr(vectorizer, f"encode_{role}")(layouts.TEXTS, batch_tokens=50)
        expected = [
            jina_reference.encode(folder, text, role, length=length, base=base or 10_000.0).numpy()
            for text in layouts.TEXTS
        ]
        assert_same_tokens(encoded.tokens.to_list(), expected)
