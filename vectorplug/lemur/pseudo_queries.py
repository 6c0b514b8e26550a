"""Texts that stand for queries where none are known: beginnings of the documents' own sentences."""

import re
from collections.abc import Sequence

import numpy as np

from vectorplug.errors import ConfigurationError, InputError

__all__ = ["pseudo_queries"]

# A sentence ends at a full stop and a space, at one of the full-width stops, and at the end of a line.
SENTENCE_ENDS = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
SHORTEST, LONGEST = 6, 20
# Some languages have no spaces between words: a pseudo-query ends here at the latest.
MOST_CHARACTERS = 160


def pseudo_queries(texts: Sequence[str], count: int, *, seed: int = 42) -> list[str]:
    """`count` str: each the first 6 to 20 words of a random sentence of a random text; the same for the same seed.

    A shorter sentence is taken whole. A text may be drawn several times, a blank one never is.

    Raises ConfigurationError for a count below 1, InputError where no text has a word.
    """
    if count < 1:
        raise ConfigurationError(f"count is {count}, expected at least 1 pseudo-query.")
    usable = np.array([i for i, text in enumerate(texts) if not text.isspace() and text], np.int64)
    if not len(usable):
        raise InputError(f"none of the {len(texts)} texts has a word, pseudo-queries are made of their sentences.")
    random = np.random.default_rng(seed)
    return [_beginning(texts[int(i)], random) for i in random.choice(usable, count)]


def _beginning(text: str, random: np.random.Generator) -> str:
    sentences = [words for sentence in SENTENCE_ENDS.split(text) if (words := sentence.split())]
    words = sentences[int(random.integers(len(sentences)))]
    kept = int(random.integers(SHORTEST, LONGEST, endpoint=True))
    return " ".join(words[:kept])[:MOST_CHARACTERS]
