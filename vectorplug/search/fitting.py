"""Fitting a compressor to texts: here, since below this folder nothing has both texts and a vectorizer of any kind."""

from collections.abc import Iterator, Sequence

import numpy as np

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.lemur import Lemur, pseudo_queries
from vectorplug.multivectors import MultiVectors
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["fit_on_texts"]

# As many texts as a fit keeps documents of.
MOST_TEXTS = 2048
TEXTS_AT_ONCE = 128
# A pseudo-query gives some twenty tokens: twice as many as are sampled, so that they come from many texts.
SAMPLES_A_QUERY = 8


def fit_on_texts(
    lemur: Lemur, vectorizer: TextVectorizer, texts: Sequence[str], *, show_progress_bar: bool | None = None
) -> Lemur:
    """`lemur` fitted to `texts`, which are documents: 2,048 of them at most are encoded, and pseudo-queries of theirs.

    The vectorizer gives tokens of `lemur.dim` numbers, as they are before any `dimensions`; it needs no FDE. What is
    drawn follows `lemur.seed`. ConfigurationError where it gives no tokens or other numbers, InputError where no text
    has a word.
    """
    if vectorizer.dims.get("tokens") != lemur.dim:
        raise ConfigurationError(
            f"{vectorizer.model} gives {vectorizer.dims.get('tokens', 'no')} numbers a token, the Lemur was made for "
            f"dim={lemur.dim}: make it for those of the model."
        )
    written = np.array([i for i, text in enumerate(texts) if text.strip()], np.int64)
    if not len(written):
        raise InputError(f"none of the {len(texts)} texts has a word, there is nothing to fit on.")
    random = np.random.default_rng(lemur.seed)
    count = min(MOST_TEXTS, len(written))
    chosen = [texts[int(i)] for i in written[np.sort(random.choice(len(written), count, replace=False))]]
    asked = pseudo_queries(chosen, max(1, lemur.samples // SAMPLES_A_QUERY), seed=lemur.seed)
    queries = vectorizer.encode_query(asked, outputs=("tokens",), show_progress_bar=show_progress_bar).tokens
    return lemur.fit(_documents(vectorizer, chosen, show_progress_bar), queries)


def _documents(
    vectorizer: TextVectorizer, texts: Sequence[str], show_progress_bar: bool | None
) -> Iterator[MultiVectors]:
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        part = texts[start : start + TEXTS_AT_ONCE]
        tokens = vectorizer.encode_document(part, outputs=("tokens",), show_progress_bar=show_progress_bar).tokens
        if tokens is not None:
            yield tokens
