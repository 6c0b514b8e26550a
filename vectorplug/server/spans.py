"""Which words of a document a query's tokens match best: the alignment behind MaxSim, for a person to read."""

import asyncio
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy.typing as npt

from vectorplug.server.engine import Engine
from vectorplug.server.scoring import Ranking

__all__ = ["Span", "matched", "relevant_spans"]

# Scripts that put no space between words: there a word is what the tokenizer takes for one.
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
# What may stand between neighbours, beside space.
JOINING = ("", "-", "'", "\N{RIGHT SINGLE QUOTATION MARK}")


class Span(NamedTuple):
    """Characters [start, end) of a document, and what they add to its relevance."""

    start: int
    end: int
    score: float


async def relevant_spans(engine: Engine, ranking: Ranking, texts: Mapping[int, str]) -> dict[int, list[Span]]:
    """What the query matched in those documents of a ranking whose places and texts are given."""
    wanted = engine.names.wanted(ranking.model)
    places = await engine.with_model(wanted, lambda encoder: encoder.spans(list(texts.values()), "document"))

    def align() -> dict[int, list[Span]]:
        pairs = zip(texts.items(), places, strict=True)
        return {i: matched(ranking.query, ranking.documents[i], where, text) for (i, text), where in pairs}

    return await asyncio.to_thread(align)


def matched(query: npt.NDArray[Any], document: npt.NDArray[Any], places: npt.NDArray[Any], text: str) -> list[Span]:
    """The words of `text` that the query's tokens match, the best first; neighbours are one span.

    `query` [q, dim] and `document` [t, dim] are tokens, `places` int32 [t, 2] the characters of each of the latter.
    Each query token matches one document token, that of the highest inner product; a word's score is the sum of those
    products over q. So the scores of a document add up to its relevance, but for what tokens without characters
    (markers), punctuation and negative products have to do with it.
    """
    products = query @ document.T
    words: dict[tuple[int, int], float] = {}
    for token, product in zip(products.argmax(axis=1).tolist(), products.max(axis=1).tolist(), strict=True):
        start, end = places[token].tolist()
        if start >= 0 and not _is_punctuation(text[start:end]):
            word = _whole(text, start, end)
            words[word] = words.get(word, 0.0) + product / len(query)
    spans: list[Span] = []
    for (start, end), score in sorted(words.items()):
        if spans and text[spans[-1].end : start].strip() in JOINING:
            last = spans.pop()
            start, end, score = last.start, max(end, last.end), last.score + score
        spans.append(Span(start, end, score))
    return sorted((span for span in spans if span.score > 0), key=lambda span: (-span.score, span.start))


def _whole(text: str, start: int, end: int) -> tuple[int, int]:
    """The word around a piece of one."""
    while start > 0 and _joins(text[start - 1]) and _joins(text[start]):
        start -= 1
    while end < len(text) and _joins(text[end - 1]) and _joins(text[end]):
        end += 1
    return start, end


def _joins(character: str) -> bool:
    """Whether it belongs to the word beside it: letters, numbers and their marks, in scripts with spaces."""
    spaced = character.isascii() or not unicodedata.name(character, "").startswith(UNSPACED)
    return spaced and unicodedata.category(character)[0] in "LMN"


def _is_punctuation(text: str) -> bool:
    return all(unicodedata.category(character)[0] in "PZ" for character in text)
