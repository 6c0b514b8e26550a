"""Claims about vectors, tried on pairs of texts made of the user's own: the same words, once right and once not."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict
from tqdm.auto import tqdm

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError
from vectorplug.evaluation.corpus import Document
from vectorplug.evaluation.statistics import Interval, interval
from vectorplug.maxsim import maxsim
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["KINDS", "Kind", "Probe", "ProbeResult", "make_probes", "probe"]

Kind = Literal["word order", "swapped names", "exact phrase", "1 sentence", "of 4 sentences", "of 16 sentences"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Shorter says too little, longer is a list or a table.
SENTENCE_WORDS = (8, 40)
PHRASE_WORDS = 4
# A kind with fewer pairs says nothing.
LEAST = 5
ENCODED_AT_ONCE = 64

_sentence_ends = re.compile(r"(?<=[.!?])\s+|\n+")
# A name or a number that does not begin the sentence, where any word has a capital.
_names = re.compile(r"(?<=[a-z,;)] )(?:[A-Z][\w-]*|\d[\d.,]*\d|\d)(?![\w-])")

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Probe:
    """A query, the text that answers it, and one that does not although it looks alike."""

    kind: Kind
    query: str
    right: str
    wrong: str


class ProbeResult(BaseModel):
    """How often each output scores the right text higher, with its 95 % interval; an equal score counts half."""

    model_config = ConfigDict(frozen=True)

    kind: Kind
    pairs: int
    shares: dict[Output, Interval]


def make_probes(documents: Sequence[Document], *, each: int = 100, seed: int = 0) -> list[Probe]:
    """At most `each` pairs of every kind out of the sentences of `documents`, the same of one `seed`.

    word order       query: a sentence; wrong: the sentence with its words in another order
    swapped names    query: a sentence; wrong: with two of its names or numbers exchanged
    exact phrase     query: four words in a row; wrong: the sentence with these words moved apart
    of n sentences   query: a sentence; right: n sentences of other documents with it among them; wrong: without it

    A kind for which there are fewer than five is left out. InputError where no document has two sentences to use.
    """
    rng = np.random.default_rng(seed)
    sentences: list[str] = []
    for i in rng.permutation(len(documents)).tolist():
        usable = [part for part in _sentences(documents[i].text) if part not in sentences]
        if usable:
            sentences.append(usable[int(rng.integers(len(usable)))])
        if len(sentences) >= 4 * each:
            break
    if len(sentences) < LEAST:
        raise InputError(
            f"{len(sentences)} of {len(documents):,} documents have a sentence of {SENTENCE_WORDS[0]} to "
            f"{SENTENCE_WORDS[1]} words, expected at least {LEAST}: there is nothing to make probes of."
        )
    makers: dict[Kind, Callable[[str, Rng], Probe | None]] = {
        "word order": _word_order,
        "swapped names": _swapped,
        "exact phrase": _phrase,
        "1 sentence": lambda sentence, rng: _among("1 sentence", 1, sentence, sentences, rng),
        "of 4 sentences": lambda sentence, rng: _among("of 4 sentences", 4, sentence, sentences, rng),
        "of 16 sentences": lambda sentence, rng: _among("of 16 sentences", 16, sentence, sentences, rng),
    }
    probes = []
    for make in makers.values():
        made = (made for sentence in sentences if (made := make(sentence, rng)) is not None)
        found = [pair for pair, _ in zip(made, range(each), strict=False)]
        probes += found if len(found) >= LEAST else []
    return probes


def probe(
    probes: Sequence[Probe], vectorizer: TextVectorizer, *, show_progress_bar: bool | None = None
) -> list[ProbeResult]:
    """Encode every pair and compare, by every output that the vectorizer gives: inner products, and MaxSim of tokens.

    A right text that is cut at the model's limit before what was asked is a fault of the model, and counted as one.
    """
    outputs = tuple(vectorizer.dims)
    better: dict[Kind, dict[Output, list[float]]] = {}
    hidden = None if show_progress_bar is None else not show_progress_bar
    with tqdm(total=len(probes), desc="Probing", unit="pair", disable=hidden) as bar:
        for begin in range(0, len(probes), ENCODED_AT_ONCE):
            part = probes[begin : begin + ENCODED_AT_ONCE]
            queries = vectorizer.encode_query([p.query for p in part], outputs=outputs, show_progress_bar=False)
            pairs = [text for p in part for text in (p.right, p.wrong)]
            documents = vectorizer.encode_document(pairs, outputs=outputs, show_progress_bar=False)
            for i, each in enumerate(part):
                of_kind = better.setdefault(each.kind, {name: [] for name in outputs})
                for name in outputs:
                    right, wrong = _scores(name, queries[i : i + 1], documents[2 * i : 2 * i + 2])
                    of_kind[name].append(0.5 if right == wrong else float(right > wrong))
            bar.update(len(part))
    return [
        ProbeResult(
            kind=kind,
            pairs=len(next(iter(shares.values()))),
            shares={name: interval(np.array(values)) for name, values in shares.items()},
        )
        for kind, shares in better.items()
    ]


def _scores(name: Output, query: Encoded, documents: Encoded) -> tuple[float, float]:
    if name == "tokens":
        assert query.tokens is not None
        assert documents.tokens is not None
        right, wrong = maxsim(query.tokens[0], documents.tokens).tolist()
    else:
        right, wrong = (getattr(documents, name) @ getattr(query, name)[0]).tolist()
    return right, wrong


def _sentences(text: str) -> list[str]:
    parts = (" ".join(part.split()) for part in _sentence_ends.split(text))
    return [part for part in parts if SENTENCE_WORDS[0] <= len(part.split()) <= SENTENCE_WORDS[1]]


def _word_order(sentence: str, rng: Rng) -> Probe | None:
    words = sentence.split()
    shuffled = [words[i] for i in rng.permutation(len(words)).tolist()]
    return None if shuffled == words else Probe("word order", sentence, sentence, " ".join(shuffled))


def _swapped(sentence: str, rng: Rng) -> Probe | None:
    found = [match.span() for match in _names.finditer(sentence)]
    different = {sentence[begin:end] for begin, end in found}
    if len(different) < 2:
        return None
    (a, b), (c, d) = sorted(found[i] for i in rng.permutation(len(found))[:2].tolist())
    first, second = sentence[a:b], sentence[c:d]
    if first == second:
        return None
    return Probe("swapped names", sentence, sentence, f"{sentence[:a]}{second}{sentence[b:c]}{first}{sentence[d:]}")


def _phrase(sentence: str, rng: Rng) -> Probe | None:
    words = sentence.split()
    if len(words) < 2 * PHRASE_WORDS:
        return None
    begin = int(rng.integers(len(words) - PHRASE_WORDS + 1))
    phrase, rest = words[begin : begin + PHRASE_WORDS], words[:begin] + words[begin + PHRASE_WORDS :]
    # Each word of the phrase goes to a place of its own among the others, in its old order.
    places = np.sort(rng.choice(len(rest) + 1, PHRASE_WORDS, replace=False)).tolist()
    apart = list(rest)
    for word, place in reversed(list(zip(phrase, places, strict=True))):
        apart.insert(place, word)
    return None if apart == words else Probe("exact phrase", " ".join(phrase), sentence, " ".join(apart))


def _among(kind: Kind, count: int, sentence: str, sentences: Sequence[str], rng: Rng) -> Probe | None:
    if len(sentences) < count + 2:
        return None
    others = [sentences[i] for i in rng.permutation(len(sentences))[: count + 1].tolist()]
    others = [each for each in others if each != sentence][:count]
    place = int(rng.integers(count))
    with_it = [*others[:place], sentence, *others[place + 1 :]]
    return Probe(kind, sentence, " ".join(with_it), " ".join(others))
