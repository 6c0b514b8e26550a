"""A process that gives vectors to somebody's collection and stops before the last window, to be killed there.

python weaviate_child.py URL COLLECTION
"""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from backfill_suite import Meddling
from vectorplug_weaviate import WeaviateStore


def stop() -> None:
    print("before the last window", flush=True)
    sys.stdin.read()


def main(url: str, collection: str) -> None:
    nothing: Any = lambda: None  # noqa: E731
    vectorizer = Meddling(nothing, nothing, stop)
    WeaviateStore(url, collection, vectorizer=vectorizer, mode="fde+rerank").backfill("body", show_progress_bar=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
