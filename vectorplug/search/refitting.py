"""Another FDE for all documents of a collection: made beside the one that is searched, which it then replaces.

First the fit is kept and the collection says what is being made; then the vectors are filled in, document by document,
while searches go on with the old ones; then one change of the description makes the new ones those that are searched.
Whoever is killed in between leaves a collection that answers, and the same call goes on.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from vectorplug.compressor import Compressor, is_fitted
from vectorplug.errors import ConfigurationError, StoreError
from vectorplug.lemur import Lemur
from vectorplug.search.backfill import BackfillReport
from vectorplug.search.database import Database
from vectorplug.search.fingerprint import CollectionInfo, FdeVectors
from vectorplug.search.fits import keep_fit, stored_compressor, with_fde
from vectorplug.search.fitting import FitReport, fit_reported
from vectorplug.search.lacking import Lacking
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["RefitReport", "Refitting"]

# No collection has vectors of this name, so all of its documents lack it.
NOBODYS = "vectorplug_nobodys"


@dataclass(frozen=True, slots=True)
class RefitReport:
    """How a refit went. `fde` is the fingerprint of what is searched by now, `fit` how it was fitted, if it was.

    `switched` says whether that is another than before: not where the fit came out the same, nor where documents could
    not be given vectors (`filling.failed`, `filling.remaining`), which a search would miss; the same call goes on.
    """

    fde: str
    switched: bool
    fit: FitReport | None
    filling: BackfillReport


@dataclass(slots=True)
class Refitting:
    """One refit. `became` is told of every change: what the collection is now, and who makes its vectors."""

    database: Database[Any]
    collection: str
    info: CollectionInfo
    vectorizer: TextVectorizer
    became: Callable[[CollectionInfo, TextVectorizer], None]
    field: str
    show_progress_bar: bool | None

    def run(self, wanted: Compressor | None) -> RefitReport:
        """To `wanted`, which is fitted first where it has to be; None is the present one, fitted anew."""
        self._check()
        self._drop_former()
        compressor, fit = self._begun(wanted)
        new = with_fde(self.vectorizer, compressor)
        if self.info.refit is None:
            # The same fit came out: there may be documents of who had the collection open at the last refit.
            return self._report(False, fit, self._filled(new, self.info.fde_vector or "fde"))
        vector = self.info.refit.vector
        filling = self._filled(new, vector)
        if filling.failed or filling.remaining:
            return self._report(False, fit, filling)
        self._extend(self.info.refitted, new)
        late = self._filled(new, vector)
        filling.filled += late.filled
        self.database.finish()
        if self.database.has_one_user:
            self._drop_former()
        return self._report(True, fit, filling)

    def _check(self) -> None:
        if not self.database.can_refit:
            raise StoreError(
                f"a {type(self.database).__name__} cannot be given another FDE: index into a new collection."
            )
        if "fde" not in self.info.dims or self.info.model is None:
            raise ConfigurationError(
                f"collection {self.collection!r} has no FDEs of a model: there is nothing to fit again."
            )

    def _begun(self, wanted: Compressor | None) -> tuple[Compressor, FitReport | None]:
        """What makes the new vectors; the collection has a place for them, unless it is what it has."""
        if (under_way := self.info.refit) is not None:
            if wanted is not None and is_fitted(wanted) and wanted.fingerprint != under_way.fde:
                raise ConfigurationError(
                    f"a refit of collection {self.collection!r} to {under_way.fde} is under way: end it first, with "
                    "refit() and no other FDE."
                )
            # What was stopped may not have made the place for the vectors.
            self._extend(self.info, self.vectorizer)
            return stored_compressor(self.database, under_way.fde or "", self.collection), None
        compressor, fit = self._chosen(wanted)
        if compressor.fingerprint != self.info.fde:
            keep_fit(self.database, compressor)
            digest = hashlib.blake2b(compressor.fingerprint.encode(), digest_size=8).hexdigest()
            made = FdeVectors(fde=compressor.fingerprint, size=compressor.size, vector=f"fde_{digest}")
            self._extend(self.info.model_copy(update={"refit": made}), self.vectorizer)
        return compressor, fit

    def _chosen(self, wanted: Compressor | None) -> tuple[Compressor, FitReport | None]:
        fde = self.vectorizer.fde if wanted is None else wanted
        if wanted is None:
            if not isinstance(fde, Lemur):
                raise ConfigurationError(
                    f"collection {self.collection!r} has {self.info.fde}, which is not fitted: name the FDE that it is "
                    "to have, refit(Lemur(dim=...))."
                )
            fde = replace(fde, fitted=None)
        if isinstance(fde, Lemur) and fde.fitted is None:
            return fit_reported(fde, self.vectorizer, self._texts(), show_progress_bar=self.show_progress_bar)
        assert fde is not None
        return fde, None

    def _texts(self) -> Iterator[str]:
        for page in self.database.unfilled(self.field, [NOBODYS]):
            yield from (each.text for each in page if each.text is not None)

    def _filled(self, vectorizer: TextVectorizer, vector: str) -> BackfillReport:
        lacking = Lacking(self.database, self.field, ("fde",), {"fde": vector})
        return lacking.filled(vectorizer, self.show_progress_bar)

    def _drop_former(self) -> None:
        """The vectors from before the last refit: others may have searched them until now."""
        former = self.info.former
        if former is None:
            return
        info = self.info.model_copy(update={"former": None})
        self.database.drop_vectors(former.vector, info)
        self.info = info
        self.became(self.info, self.vectorizer)
        if former.fde is not None:
            self.database.drop_fit(former.fde)

    def _extend(self, info: CollectionInfo, vectorizer: TextVectorizer) -> None:
        self.database.extend(info)
        self.info, self.vectorizer = info, vectorizer
        self.became(info, vectorizer)

    def _report(self, switched: bool, fit: FitReport | None, filling: BackfillReport) -> RefitReport:
        return RefitReport(self.info.fde or "", switched, fit, filling)
