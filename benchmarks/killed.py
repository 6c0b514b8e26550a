"""A process that adds seeded documents until it is killed: `python -m benchmarks.killed URL COLLECTION`."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

from corpus import WordVectorizer, sentences

from vectorplug import open_store
from vectorplug.search import Store

__all__ = ["BEGUN", "DOCUMENTS", "opened", "texts"]

BEGUN = "begun"
# Four times a sentence of eleven words: 4 KB of vectors a document, eight windows in all.
DOCUMENTS, REPEATED = 2000, 4


def texts() -> list[str]:
    return [" ".join([sentence] * REPEATED) for sentence in sentences(DOCUMENTS)]


def opened(url: str, collection: str) -> Store[Any]:
    return open_store(url, collection=collection, vectorizer=WordVectorizer(), mode="fde+rerank")


def main(url: str, collection: str) -> None:
    documents = texts()
    # Everything is imported and compiled before the clock runs.
    WordVectorizer().encode_document(documents[:1], outputs=["fde"], show_progress_bar=False)
    opened(url, "Other").close()
    print(BEGUN, flush=True)
    with opened(url, collection) as store:
        store.add(documents, ids=range(DOCUMENTS))


if __name__ == "__main__":
    main(*sys.argv[1:])
