"""PLAID on tokens that are at hand: run by the Python that has fast-plaid, which knows nothing of vectorplug.

python plaid_child.py TOKENS.npz FOUND.npz
"""

import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from fast_plaid import search

DEPTH = 100
SETTINGS = {"default": {}, "n_full_scores 1,024, n_ivf_probe 4": {"n_full_scores": 1024, "n_ivf_probe": 4}}


def texts(arrays, name):
    values, offsets = arrays[f"{name}_values"], arrays[f"{name}_offsets"]
    return [torch.from_numpy(values[a:b].astype(np.float32)) for a, b in pairwise(offsets)]


def main(source, target):
    torch.set_num_threads(2)
    arrays = np.load(source)
    documents, queries = texts(arrays, "documents"), texts(arrays, "queries")
    with tempfile.TemporaryDirectory() as folder:
        index = search.FastPlaid(index=folder, device="cpu")
        began = time.perf_counter()
        index.create(documents_embeddings=documents)
        facts = {"index_seconds": time.perf_counter() - began, "ms": {}}
        facts["bytes"] = sum(each.stat().st_size for each in Path(folder).rglob("*") if each.is_file()) / len(documents)
        found = {}
        for name, options in SETTINGS.items():
            positions = np.full((len(queries), DEPTH), -1, np.int32)
            seconds = []
            for i, query in enumerate([queries[0], *queries], -1):
                began = time.perf_counter()
                (ranked,) = index.search(queries_embeddings=[query], top_k=DEPTH, show_progress=False, **options)
                # The first is asked twice, and counted once.
                if i >= 0:
                    seconds.append(time.perf_counter() - began)
                    positions[i, : len(ranked)] = [document for document, _ in ranked]
            found[name] = positions
            facts["ms"][name] = 1000 * float(np.median(seconds))
    np.savez(target, facts=json.dumps(facts), **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
