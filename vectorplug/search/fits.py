"""The fit that a collection's FDEs were made with: kept before anything is written, found when it is opened."""

from collections.abc import Callable
from typing import Any

from vectorplug.compressor import Compressor, FittedCompressor, compressor_of, is_unfitted, needs_fit
from vectorplug.errors import ConfigurationError, FingerprintError, InputError, StoreError
from vectorplug.models.recipe import Recipe
from vectorplug.search.database import Database
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["check_fitted", "keep_fit", "stored_compressor", "stored_vectorizer", "with_fde", "with_stored_fit"]


def check_fitted(compressor: Compressor | None) -> None:
    """ConfigurationError for one that has to be fitted before anything can be written."""
    if compressor is not None and is_unfitted(compressor):
        raise ConfigurationError(
            f"the FDE {compressor.fingerprint} is not fitted, and nothing was written: store.fit(texts) fits it to a "
            "sample of what is to be stored, or make the vectorizer with fde=Lemur.open(path)."
        )


def keep_fit(database: Database[Any], compressor: Compressor | None) -> None:
    """Keep what the compressor has learnt, if it has learnt anything, where `stored_compressor` finds it."""
    check_fitted(compressor)
    if isinstance(compressor, FittedCompressor):
        database.keep_fit(compressor.fingerprint, compressor.to_bytes())


def stored_compressor(database: Database[Any], fingerprint: str, collection: str) -> Compressor:
    """The compressor of a collection's FDEs; StoreError where its fit is not there, or damaged."""
    if not needs_fit(fingerprint):
        return compressor_of(fingerprint)
    data = database.read_fit(fingerprint)
    fix = (
        "Open it with vectorizer=Vectorizer(model, fde=Lemur.open(path)) of the file that save(path) wrote, and "
        "store.backfill() puts the fit back; without that file index into a new collection."
    )
    if data is None:
        raise StoreError(f"the fit of collection {collection!r}, {fingerprint}, is not beside it any more. {fix}")
    try:
        return compressor_of(fingerprint, data)
    except (FingerprintError, InputError) as error:
        raise StoreError(f"the fit beside collection {collection!r} cannot be used: {error} {fix}") from error


def stored_vectorizer(database: Database[Any], info: CollectionInfo, collection: str) -> TextVectorizer:
    """The vectorizer that a collection was made with, loaded; ConfigurationError where its vectors came without one."""
    from vectorplug.vectorizer import Vectorizer

    if info.model is None:
        raise ConfigurationError(
            f"collection {collection!r} holds vectors made elsewhere: open it with vectorizer=..., or use add_encoded "
            "and search_encoded."
        )
    fde = None if info.fde is None else stored_compressor(database, info.fde, collection)
    return Vectorizer(info.model, fde=fde, **(info.recipe or Recipe()).model_dump())


def with_stored_fit(
    vectorizer: TextVectorizer, info: CollectionInfo, database: Database[Any], collection: str
) -> TextVectorizer:
    """`vectorizer`, with the collection's fit where its own FDE has none yet.

    FingerprintError where the collection's FDE was made with other parameters.
    """
    if vectorizer.fde is None or not is_unfitted(vectorizer.fde) or "fde" not in info.dims:
        return vectorizer
    wanted, stored = (each.rpartition(":")[0] for each in (vectorizer.fde.fingerprint, info.fde or ""))
    if wanted != stored:
        raise FingerprintError(
            f"collection {collection!r} has FDEs of {info.fde or 'vectors given'}, it is opened with "
            f"{vectorizer.fde.fingerprint}: their vectors cannot be mixed. Open it with the same "
            "parameters (or with none, to use those it was made with), or index into a new collection."
        )
    return with_fde(vectorizer, stored_compressor(database, info.fde or "", collection))


def with_fde(vectorizer: TextVectorizer, compressor: Compressor) -> TextVectorizer:
    """The same vectorizer with that compressor; ConfigurationError where it has no `with_fde`."""
    make: Callable[[Compressor], TextVectorizer] | None = getattr(vectorizer, "with_fde", None)
    if make is None:
        raise ConfigurationError(
            f"a {type(vectorizer).__name__} cannot be given a fitted FDE (it has no with_fde): make it with one."
        )
    return make(compressor)
