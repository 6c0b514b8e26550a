"""What FlagEmbedding makes of bge-m3's layout: writes bge_m3.json and bge_m3.npz.

Run in an environment of its own, from the root of the repository:
    pip install "FlagEmbedding==1.4.2" "transformers<5" && python tests/models/goldens/make_bge_m3.py
It needs no network: the checkpoint is random and made here.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import goldens
import layouts
from FlagEmbedding import BGEM3FlagModel


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = layouts.write_bge_m3(Path(place) / "model")
        model = BGEM3FlagModel(str(folder), use_fp16=False, devices="cpu")
        given = {"max_length": 40, "return_dense": True, "return_colbert_vecs": True}
        query, document = model.encode_queries(layouts.TEXTS, **given), model.encode_corpus(layouts.TEXTS, **given)
        goldens.save(
            "bge_m3",
            ["FlagEmbedding", "transformers", "torch"],
            {"bge-m3": layouts.checksum(folder)},
            {
                ("bge-m3", "query"): query["colbert_vecs"],
                ("bge-m3", "document"): document["colbert_vecs"],
                ("bge-m3", "dense"): [vector[None] for vector in document["dense_vecs"]],
            },
        )


if __name__ == "__main__":
    main()
