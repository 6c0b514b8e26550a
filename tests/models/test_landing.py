"""Vectors folded on their device and landed behind the next batch, with the CPU for a device."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from vectorplug import MultiVectors, Muvera, Vectorizer
from vectorplug.errors import OutOfMemoryError
from vectorplug.models import landing
from vectorplug.residency.ladder import Ladder
from vectorplug.residency.memory import CpuMemory

TEXTS = ["the sea, and the ship!", "bread", "", "wave " * 200, "...!?", "Which of these is about the sea? " * 4]


class Mean:
    """A compressor that only the host has."""

    dim = size = 16
    fingerprint = "mean"

    def encode_documents(self, tokens: MultiVectors) -> npt.NDArray[np.float32]:
        return np.stack([own.mean(axis=0) for own in tokens])

    encode_queries = encode_documents


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU does as a GPU does from here on."""
    monkeypatch.setattr(landing, "DEVICES", {"cpu"})


@pytest.fixture(scope="module")
def expected(tiny_colbert: Path) -> dict[str, landing.Encoded]:
    host = Vectorizer(str(tiny_colbert), device="cpu", dtype="float32", fde=muvera())
    return {verb: getattr(host, verb)(TEXTS, batch_tokens=40) for verb in ("encode_document", "encode_query")}


def muvera() -> Muvera:
    return Muvera(dim=16, repetitions=3, ksim=3, dproj=4)


def made(folder: Path) -> Vectorizer:
    return Vectorizer(str(folder), device="cpu", dtype="float32", fde=muvera())


@pytest.mark.usefixtures("on_device")
@pytest.mark.parametrize("verb", ["encode_document", "encode_query"])
def test_what_lands_is_what_the_host_makes(tiny_colbert: Path, expected, verb: str) -> None:
    vectorizer = made(tiny_colbert)
    encode = getattr(vectorizer, verb)
    encoded = encode(TEXTS, batch_tokens=40)
    np.testing.assert_array_equal(encoded.tokens.offsets, expected[verb].tokens.offsets)
    np.testing.assert_array_equal(encoded.tokens.values, expected[verb].tokens.values)
    np.testing.assert_array_equal(encoded.dense, expected[verb].dense)
    np.testing.assert_array_equal(encoded.truncated, expected[verb].truncated)
    np.testing.assert_array_equal(encoded.token_counts, expected[verb].token_counts)
    np.testing.assert_allclose(encoded.fde, expected[verb].fde, rtol=1e-5, atol=1e-5)
    for outputs in (["fde"], ["tokens"], ["dense", "fde"]):
        some = encode(TEXTS, batch_tokens=40, outputs=outputs)
        assert [name for name, _ in some.vectors()] == [name for name in ("tokens", "fde", "dense") if name in outputs]
        assert "fde" not in outputs or np.array_equal(some.fde, encoded.fde)


@pytest.mark.usefixtures("on_device")
def test_tokens_stay_on_the_device_unless_they_are_asked_for(tiny_colbert: Path, monkeypatch) -> None:
    vectorizer = made(tiny_colbert)
    copied = []
    copy = landing.Landing._copied
    monkeypatch.setattr(
        landing.Landing, "_copied", lambda self, gathered: copied.append(gathered.numel()) or copy(self, gathered)
    )
    vectorizer.encode_document(TEXTS, outputs=["fde"])
    assert copied == [len(TEXTS) * muvera().size], "one copy for a batch, of the FDEs alone"


@pytest.mark.usefixtures("on_device")
def test_no_text_and_a_compressor_of_the_host(tiny_colbert: Path) -> None:
    vectorizer = made(tiny_colbert)
    none = vectorizer.encode_document([])
    assert (len(none.tokens), none.fde.shape, none.dense.shape) == (0, (0, muvera().size), (0, 16))
    other = vectorizer.with_fde(Mean())
    encoded = other.encode_document(TEXTS)
    np.testing.assert_allclose(encoded.fde, Mean().encode_documents(encoded.tokens))


@pytest.mark.usefixtures("on_device")
def test_a_batch_that_is_halved_for_memory_lands_whole(tiny_colbert: Path, expected) -> None:
    vectorizer = made(tiny_colbert)
    encoder = vectorizer._encoder
    passes = []

    def run(texts):
        passes.append(len(texts))
        if len(texts) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return encoder.forward_once(texts)

    ladder = Ladder(
        "tiny",
        CpuMemory(),
        run,
        evict_idle=lambda: 0,
        compact=lambda: None,
        holders=lambda: "",
        on_rung=lambda _: None,
    )
    encoder.forward_by(ladder.forward)
    encoded = vectorizer.encode_document(TEXTS)
    assert max(passes) == len(TEXTS)
    documents = expected["encode_document"]
    np.testing.assert_allclose(encoded.tokens.values, documents.tokens.values, atol=1e-6)
    np.testing.assert_allclose(encoded.fde, documents.fde, atol=1e-5)


@pytest.mark.usefixtures("on_device")
def test_what_fails_on_the_device_is_heard_of(tiny_colbert: Path) -> None:
    vectorizer = made(tiny_colbert)

    def full(_):
        raise OutOfMemoryError("full")

    vectorizer._encoder.forward_by(full)
    with pytest.raises(OutOfMemoryError, match="full"):
        vectorizer.encode_document(TEXTS)
