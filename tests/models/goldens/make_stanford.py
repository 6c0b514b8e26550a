"""What colbert-ai makes of Stanford's layout: writes stanford.json and stanford.npz.

Run in an environment of its own, from the root of the repository:
    pip install "colbert-ai==0.2.22" "transformers<5" && python tests/models/goldens/make_stanford.py
It needs no network: the checkpoints are random and made here.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import goldens
import layouts
import numpy as np
from colbert.infra import ColBERTConfig
from colbert.modeling.checkpoint import Checkpoint
from colbert.modeling.colbert import ColBERT

# Its compiled kernels score; they do not encode, and would be built on the spot.
ColBERT.loaded_extensions = True


def encode(folder: Path, role: str) -> list[np.ndarray]:
    checkpoint = Checkpoint(str(folder), colbert_config=ColBERTConfig(), verbose=0)
    assert checkpoint.name == str(folder), "it fell back to another model"
    if role == "query":
        return [query.numpy() for query in checkpoint.queryFromText(layouts.TEXTS)]
    return [document.numpy() for document in checkpoint.docFromText(layouts.TEXTS, keep_dims=False)]


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folders = {}
        for number, (case, recipe) in enumerate(layouts.STANFORD.items()):
            folders[case] = layouts.write_stanford(Path(place) / str(number), **recipe)
        goldens.save(
            "stanford",
            ["colbert-ai", "transformers", "torch"],
            {case: layouts.checksum(folder) for case, folder in folders.items()},
            {(case, role): encode(folders[case], role) for case in folders for role in ("query", "document")},
        )


if __name__ == "__main__":
    main()
