"""Vectors that other libraries made of tiny checkpoints: how they are kept, and how the tests read them.

`models/goldens/make_*.py` writes them, each in an environment that has its library; the tests need none of these.
"""

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent / "models" / "goldens"


class Golden:
    """`facts`: library versions, and by case the checksum of the weights; `vectors`: by case and output."""

    def __init__(self, name: str) -> None:
        self.facts: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
        with np.load(FOLDER / f"{name}.npz") as arrays:
            self._arrays = dict(arrays)

    def vectors(self, case: str, output: str) -> list[np.ndarray]:
        """One array [tokens, dim] of each text; `output` is "query", "document" or "dense"."""
        values, lengths = self._arrays[f"{case}|{output}|values"], self._arrays[f"{case}|{output}|lengths"]
        return np.split(values.astype(np.float32), np.cumsum(lengths)[:-1])


def save(
    name: str,
    libraries: Sequence[str],
    checksums: Mapping[str, str],
    vectors: Mapping[tuple[str, str], Sequence[np.ndarray]],
    **more: object,
) -> None:
    """Keep the vectors in float16, whose rounding is far below what the tests compare at."""
    facts = {"made_with": {library: version(library) for library in libraries}, "checksums": checksums, **more}
    (FOLDER / f"{name}.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    arrays = {}
    for (case, output), texts in vectors.items():
        arrays[f"{case}|{output}|values"] = np.concatenate(texts).astype(np.float16)
        arrays[f"{case}|{output}|lengths"] = np.array([len(text) for text in texts])
    np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
