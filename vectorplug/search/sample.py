"""A few of many texts, drawn while they pass."""

import heapq
from collections.abc import Iterable

import numpy as np

__all__ = ["TextSample"]

# Of a text that is kept, so that a sample of whole books fits into memory: more than a model reads.
MOST_CHARACTERS = 2**16


class TextSample:
    """At most `most` of the texts that it sees, each as likely as any other; the same for the same `seed`.

    Each text draws a number and those of the smallest stay, so parts give the same as a whole. Blank ones are left out.
    """

    def __init__(self, most: int, seed: int) -> None:
        self.seen = 0
        self._most = most
        self._random = np.random.default_rng(seed)
        # The largest draw first: (-draw, position, text).
        self._kept: list[tuple[float, int, str]] = []

    def see(self, texts: Iterable[str]) -> None:
        """Draw for each of them."""
        for text in texts:
            if not text or text.isspace():
                continue
            draw = -float(self._random.random())
            entry = (draw, self.seen, text[:MOST_CHARACTERS])
            self.seen += 1
            if len(self._kept) < self._most:
                heapq.heappush(self._kept, entry)
            elif draw > self._kept[0][0]:
                heapq.heapreplace(self._kept, entry)

    @property
    def texts(self) -> list[str]:
        """Those that are kept, in the order in which they came."""
        return [text for _, _, text in sorted(self._kept, key=lambda entry: entry[1])]
