"""A large collection of short texts out of real ones: `python -m benchmarks.sentences FOLDER ... --out FOLDER`.

Every sentence of the FOLDERs (BEIR's layout) in turn, until there are so many; from the second time on it begins with
the first half of another one, drawn by a seed. For what has to be tried on many documents.
"""

import argparse
import json
import random
import re
from pathlib import Path

from vectorplug.evaluation import read_collection

# Characters: headings and formulas are no sentences.
LEAST, MOST = 30, 400


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sentences", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=200_000)
    asked = parser.parse_args()
    texts = [document.text for folder in asked.folders for document in read_collection(folder).documents]
    found = [sentence for text in texts for sentence in re.split(r"(?<=[.!?])\s+", text)]
    sentences = [sentence for sentence in found if LEAST < len(sentence) < MOST]
    drawn = random.Random(0)
    asked.out.mkdir(parents=True, exist_ok=True)
    with (asked.out / "corpus.jsonl").open("w", encoding="utf-8") as out:
        for i in range(asked.documents):
            text = sentences[i % len(sentences)]
            if i >= len(sentences):
                words = drawn.choice(sentences).split()
                text = " ".join([*words[: len(words) // 2], text])
            out.write(json.dumps({"_id": f"s{i}", "title": "", "text": text}) + "\n")


if __name__ == "__main__":
    main()
