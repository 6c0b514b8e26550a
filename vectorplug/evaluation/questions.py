"""Questions made out of the documents, where nobody gives any."""

import re
from dataclasses import replace

import numpy as np

from vectorplug.errors import InputError
from vectorplug.evaluation.collections import Collection
from vectorplug.evaluation.corpus import Document

__all__ = ["draw_questions"]

WORDS = (3, 32)
# Enough for a question in a language that writes no spaces.
CHARACTERS = (12, 240)
_ends = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
_marks = re.compile(r"^[\s#>*=_`~-]+|[\s#*=_`~-]+$")


def draw_questions(collection: Collection, count: int = 200, seed: int = 0) -> Collection:
    """`collection` with at most `count` queries drawn from its documents: the titles, else the first sentences.

    A document without a title gives its first sentence or line of at least three words (or 12 characters), cut at 32
    words; of equal questions one is kept. A query's id is its document's. That document is left out of the query's
    rankings (`drawn_from`): every mode finds the text that a question was copied from, so it would only make all of
    them look better.

    InputError where no document gives a question, and for a single document, which would leave nothing to find.
    """
    documents = collection.documents
    if len(documents) < 2:
        raise InputError(
            f"collection {collection.name!r} has one document and no queries: a question drawn from it would have "
            "nothing else to find. Give queries, or more documents."
        )
    questions: dict[str, str] = {}
    titles = 0
    for i in np.random.default_rng(seed).permutation(len(documents)).tolist():
        if len(questions) >= count:
            break
        title = _title(documents[i])
        question = title or _first_sentence(documents[i].text)
        if question and question not in questions:
            questions[question] = documents[i].id
            titles += bool(title)
    if not questions:
        raise InputError(
            f"none of the {len(documents):,} documents of {collection.name!r} has a title or a sentence of "
            f"{WORDS[0]} words: there is nothing to ask. Give queries."
        )
    said = _said(len(questions), titles, len(documents), seed)
    queries = {document: question for question, document in questions.items()}
    return replace(
        collection,
        queries=queries,
        drawn_from={document: document for document in queries},
        notes=(*collection.notes, said),
    )


def _said(count: int, titles: int, documents: int, seed: int) -> str:
    kinds = {"titles": titles, "first sentences": count - titles}
    what = " and ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
    return (
        f"no queries were given: {count:,} were drawn from the {documents:,} documents ({what}, seed {seed}); the "
        "document that a question comes from is left out of its ranking. Your users' questions may be harder: give "
        "them."
    )


def _title(document: Document) -> str:
    title = document.payload.get("title")
    return _cut(title) if isinstance(title, str) else ""


def _first_sentence(text: str) -> str:
    parts = (_cut(part) for part in _ends.split(text))
    return next((part for part in parts if len(part.split()) >= WORDS[0] or len(part) >= CHARACTERS[0]), "")


def _cut(text: str) -> str:
    return " ".join(_marks.sub("", text).split()[: WORDS[1]])[: CHARACTERS[1]]
