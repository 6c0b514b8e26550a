"""Fitting a compressor to texts: here, since below this folder nothing has both texts and a vectorizer of any kind."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tqdm.auto import tqdm

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.lemur import Drift, Lemur, pseudo_queries
from vectorplug.multivectors import MultiVectors
from vectorplug.search.sample import TextSample
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug.search.whole_tokens import cuts_tokens, encode_whole

__all__ = ["REFIT_FROM", "FitReport", "drift_on_texts", "fit_on_texts", "fit_reported"]

# As many texts as a fit keeps documents of.
MOST_TEXTS = 2048
TEXTS_AT_ONCE = 128
# A pseudo-query gives some twenty tokens: twice as many as are sampled, so that they come from many texts.
SAMPLES_A_QUERY = 8

REFIT_FROM = 1.5
"""The ratio of a `Drift` from which on a fit serves its documents badly."""


@dataclass(frozen=True, slots=True)
class FitReport:
    """How a fit went: of `texts` that were read `sampled` were encoded, in `seconds`; `fingerprint` is the FDE's."""

    fingerprint: str
    texts: int
    sampled: int
    seconds: float


def fit_on_texts(
    lemur: Lemur, vectorizer: TextVectorizer, texts: Iterable[str], *, show_progress_bar: bool | None = None
) -> Lemur:
    """`lemur` fitted to `texts`, which are documents: 2,048 of them at most are encoded, and pseudo-queries of theirs.

    The texts are read once, and only those that are drawn are held. The vectorizer gives tokens of `lemur.dim` numbers;
    where it pools documents or cuts `dimensions`, the fit sees the whole tokens, as the FDE does that is folded from
    them. It needs no FDE. What is drawn follows `lemur.seed`. ConfigurationError where it gives no tokens or other
    numbers, InputError where no text has a word.
    """
    return fit_reported(lemur, vectorizer, texts, show_progress_bar=show_progress_bar)[0]


def fit_reported(
    lemur: Lemur, vectorizer: TextVectorizer, texts: Iterable[str], *, show_progress_bar: bool | None = None
) -> tuple[Lemur, FitReport]:
    """As `fit_on_texts`, and how it went."""
    began = time.perf_counter()
    _check_numbers(lemur, vectorizer)
    if isinstance(texts, str):
        raise InputError("texts is one str, expected a list of texts: [text].")
    sample = TextSample(MOST_TEXTS, lemur.seed)
    sample.see(texts)
    chosen = sample.texts
    if not chosen:
        raise InputError("no text has a word, there is nothing to fit on: give some hundreds of those to be stored.")
    asked = pseudo_queries(chosen, max(1, lemur.samples // SAMPLES_A_QUERY), seed=lemur.seed)
    # tqdm's None means: quiet unless this is a terminal.
    bar = tqdm(total=len(chosen), unit="text", disable=None if show_progress_bar is None else not show_progress_bar)
    with bar:
        bar.set_description("Fitting the FDE")
        queries = encode_whole(vectorizer, asked, "query", lemur.dim, show_progress_bar=False).tokens
        fitted = lemur.fit(_documents(vectorizer, chosen, lemur.dim, bar.update), queries)
    fitted = replace(fitted, encoder=_encoder_of(vectorizer))
    return fitted, FitReport(fitted.fingerprint, sample.seen, len(chosen), time.perf_counter() - began)


def drift_on_texts(lemur: Lemur, vectorizer: TextVectorizer, texts: Sequence[str]) -> Drift:
    """`Lemur.drift` of documents, two at least; some hundreds say enough."""
    return lemur.drift(MultiVectors.concatenate(_documents(vectorizer, texts, lemur.dim, lambda _: None)))


def _check_numbers(lemur: Lemur, vectorizer: TextVectorizer) -> None:
    given = vectorizer.dims.get("tokens")
    if given is None or (given != lemur.dim and not cuts_tokens(vectorizer)):
        raise ConfigurationError(
            f"{vectorizer.model} gives {given or 'no'} numbers a token, the Lemur was made for dim={lemur.dim}: "
            "make it for those of the model."
        )


def _encoder_of(vectorizer: TextVectorizer) -> str:
    """Model and revision: what the vectorizer cuts beyond these is not cut of what a fit sees."""
    recipe = getattr(vectorizer, "recipe", None)
    return vectorizer.fingerprint.removesuffix("" if recipe is None else recipe.fingerprint)


def _documents(
    vectorizer: TextVectorizer, texts: Sequence[str], dim: int, progress: Callable[[int], object]
) -> Iterator[MultiVectors]:
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        part = texts[start : start + TEXTS_AT_ONCE]
        tokens = encode_whole(vectorizer, part, "document", dim, show_progress_bar=False).tokens
        if tokens is not None:
            yield tokens
        progress(len(part))
