"""The contract of a store: one collection of documents in one database, searched by mode."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

from tqdm.auto import tqdm

from vectorplug.compressor import Compressor, is_fitted
from vectorplug.encoded import OUTPUTS, Encoded, Output
from vectorplug.errors import ConfigurationError, InputError, StoreError
from vectorplug.lemur import Drift, Lemur
from vectorplug.models.recipe import Recipe
from vectorplug.search.adding import Adding, not_finite
from vectorplug.search.backfill import BackfillReport
from vectorplug.search.config import IndexConfig
from vectorplug.search.database import Database
from vectorplug.search.explaining import explained
from vectorplug.search.fingerprint import CollectionInfo, NotOursError, StoredDtypes
from vectorplug.search.fits import keep_fit, stored_vectorizer, with_fde, with_stored_fit
from vectorplug.search.fitting import FitReport, drift_on_texts, fit_reported
from vectorplug.search.hits import AddReport, Hits, Id, Question, Row, StageReport, key_of, row_of
from vectorplug.search.ingest import TEXT, windows
from vectorplug.search.lacking import Lacking
from vectorplug.search.modes import Mode, Plan, default_candidates, plan_of
from vectorplug.search.refitting import RefitReport, Refitting
from vectorplug.search.sample import TextSample
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["Store"]

Filter = TypeVar("Filter")

# Of the documents that an `add` writes, to measure the drift on.
DRIFT_TEXTS = 256


class Store(Generic[Filter]):
    """One collection in a database, which each adapter brings; everything else is the same for all.

    `vectorizer` and `mode` may be left out for a collection that exists: it knows what it was made with.
    `outputs` names the vectors that a new collection stores, by default those that `mode` needs.
    `config` says all of it at once, and in which numbers a new collection keeps its vectors; what is said beside it
    goes before it. Raises FingerprintError where the collection was made with another model or FDE.
    """

    chunk_bytes: ClassVar[int] = 16 * 2**20
    """Bytes of vectors that are handed to the database at once."""

    def __init__(
        self,
        database: Database[Filter],
        collection: str,
        *,
        vectorizer: TextVectorizer | None,
        mode: Mode | None,
        outputs: Sequence[Output] | None,
        config: IndexConfig | None = None,
    ) -> None:
        self.collection = collection
        self._database = database
        self._vectorizer = vectorizer
        self._config = config
        self._candidates = config.candidates if config is not None else None
        self._dtypes = StoredDtypes()
        self._closed = False
        self._not_ours: NotOursError | None = None
        try:
            if config is not None:
                mode = mode or config.mode
                self._dtypes = StoredDtypes(tokens=config.tokens.dtype, fde=config.store.fde_dtype)
            self._outputs = tuple(outputs or plan_of(mode or "fde+rerank").outputs)
            unknown = [name for name in self._outputs if name not in OUTPUTS]
            if unknown:
                raise ConfigurationError(f"output {unknown[0]!r} is not one of {', '.join(OUTPUTS)}.")
            self._info = self._opened(mode)
            self.mode: Mode = mode or (self._info.mode if self._info else "fde+rerank")
            if self._info is not None:
                self._info.check_mode(self.mode, collection)
                if config is not None:
                    self._info.check_dtypes(self._dtypes, collection)
                    if vectorizer is None and self._info.model is not None:
                        vectorizer = config.vectorizer()
                if vectorizer is not None:
                    self._vectorizer = with_stored_fit(vectorizer, self._info, database, collection)
                    self._check_vectorizer(self._vectorizer)
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> CollectionInfo | None:
        """What the collection was made with; None before the first document is written."""
        return self._info

    @property
    def vectorizer(self) -> TextVectorizer:
        """The one given, the config's, or the one that the collection was made with (loaded at first use)."""
        if self._vectorizer is None:
            self._vectorizer = self._stored_vectorizer()
        return self._vectorizer

    def add(
        self,
        texts: Iterable[str],
        ids: Iterable[Id] | None = None,
        payloads: Iterable[Mapping[str, Any] | None] | None = None,
        *,
        show_progress_bar: bool | None = None,
    ) -> AddReport:
        """Encode n texts and write them; any iterables, read once, so a corpus need not fit into memory.

        `ids` are str or int; without them a text's own hash is its id. The text is kept in the payload as "text"
        unless the payload has such a field. A document that is there with the same text and payload is skipped
        without encoding it, another with its id is replaced: the same call again completes one that was
        interrupted. A document that cannot be used is named in `report.failed`, the others go in.
        """
        self._check_open()
        dims = self.vectorizer.dims
        dims = {name: dims[name] for name in self._wanted(dims)}
        total = len(texts) if isinstance(texts, Sequence) else None
        sample = TextSample(DRIFT_TEXTS, seed=0) if "fde" in dims and is_fitted(self.vectorizer.fde) else None
        # tqdm's None means: quiet unless this is a terminal.
        bar = tqdm(total=total, disable=None if show_progress_bar is None else not show_progress_bar)
        with bar, self._adding(tuple(dims)) as adding:
            bar.set_description("Adding documents")
            for window in windows(texts, ids, payloads, self._key):
                self._ensure_created(dims)
                adding.window(window, lambda texts: self._documents(texts, tuple(dims)), sample)
                bar.update(len(window))
        if self._info is not None:
            self._database.finish()
        adding.report.sample = [] if sample is None else sample.texts
        return adding.report

    def add_encoded(
        self,
        encoded: Encoded,
        *,
        ids: Sequence[Id],
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> AddReport:
        """Write n documents whose vectors exist already; one with the same id is replaced.

        A document that cannot be used (a payload that is no JSON, NaN, too many tokens for the database) is named
        in `report.failed`, the others go in.
        """
        self._check_open()
        payloads = [None] * len(ids) if payloads is None else payloads
        if not len(encoded) == len(ids) == len(payloads):
            raise InputError(
                f"there are {len(encoded)} encoded texts, {len(ids)} ids and {len(payloads)} payloads; "
                "expected as many of each."
            )
        if not ids:
            return AddReport()
        dims = _dims_of(encoded)
        self._ensure_created({name: dims[name] for name in self._wanted(dims)})
        with self._adding(self._stored()) as adding:
            rows: dict[int, Row] = {}
            for position, (document_id, payload) in enumerate(zip(ids, payloads, strict=True)):
                try:
                    rows[position] = row_of(document_id, "", payload or {}, self._key)
                except InputError as error:
                    adding.report.failed.append((document_id, str(error)))
            last = {row.key: position for position, row in rows.items()}
            keep = [position for position, row in rows.items() if last[row.key] == position]
            adding.vectors([rows[k] for k in keep], encoded if len(keep) == len(ids) else encoded.take(keep))
        self._database.finish()
        return adding.report

    def fit(self, texts: Iterable[str], *, show_progress_bar: bool | None = None) -> FitReport | None:
        """Fit the vectorizer's FDE, where it has to be fitted, to a sample of `texts`, which are read once.

        None where there is nothing to fit: the FDE is of another kind, or the collection was made with a fit, which
        stays. The fit is kept beside the collection once that is made.
        """
        self._check_not_closed()
        fde = self.vectorizer.fde
        if not isinstance(fde, Lemur) or is_fitted(fde):
            return None
        fitted, report = fit_reported(fde, self.vectorizer, texts, show_progress_bar=show_progress_bar)
        self._vectorizer = with_fde(self.vectorizer, fitted)
        return report

    def drift(self, texts: Sequence[str]) -> Drift | None:
        """How well the fit of the FDE serves such documents, some hundreds of them; None where it has no fit.

        From a ratio of 1.5 on (`REFIT_FROM`) it should be fitted again.
        """
        self._check_not_closed()
        fde = self.vectorizer.fde
        return drift_on_texts(fde, self.vectorizer, texts) if isinstance(fde, Lemur) else None

    def backfill(
        self,
        field: str = TEXT,
        *,
        outputs: Sequence[Output] | None = None,
        dry_run: bool = False,
        show_progress_bar: bool | None = None,
    ) -> BackfillReport:
        """Give the documents that are there the vectors they lack, made from the text in their payload's `field`.

        The collection may be one that vectorplug did not make: it gets the named vectors, and from then on its
        documents are found under the database's own ids; their payload and their other vectors stay as they are.
        `outputs` are the vectors to add, by default those that the store's mode needs. The same call again goes on
        where one was interrupted, and takes up what others wrote meanwhile. `dry_run` changes nothing: the report
        says how many documents lack vectors, and how many bytes and minutes they will be, writing not counted.

        Raises InputError where none of the first documents has a text in `field`, FingerprintError where the
        collection has vectors of another model.
        """
        self._check_not_closed()
        asked = tuple(outputs or self._outputs)
        if unknown := [name for name in asked if name not in OUTPUTS]:
            raise ConfigurationError(f"output {unknown[0]!r} is not one of {', '.join(OUTPUTS)}.")
        dims = self.vectorizer.dims
        if missing := [name for name in asked if name not in dims]:
            raise ConfigurationError(f"outputs ask for {', '.join(missing)}, the vectorizer gives {', '.join(dims)}.")
        info = self._extended({name: dims[name] for name in asked})
        lacking = Lacking(self._database, field, asked, info.vector_names)
        lacking.check_texts()
        if dry_run:
            return lacking.estimated(self.vectorizer)
        self._keep_fit(info)
        if info != self._info:
            self._database.extend(info)
            self._info, self._not_ours = info, None
        report = lacking.filled(self.vectorizer, show_progress_bar)
        self._database.finish()
        return report

    def refit(
        self, fde: Compressor | None = None, *, field: str = TEXT, show_progress_bar: bool | None = None
    ) -> RefitReport:
        """Give all documents FDEs of another fit, or of another kind (`fde`), while searches go on with the old ones.

        The texts of the payloads' `field` are encoded again; then the new vectors are the ones that are searched. The
        same call goes on where one was interrupted. Stores that have a server's collection open meanwhile go on with
        the old vectors, which stay until the next refit, and write those: once they are opened again, `backfill` gives
        what they wrote the new ones. StoreError where the database cannot.
        """
        self._check_open()
        if self._info is None:
            raise StoreError(f"collection {self.collection!r} does not exist yet: there is nothing to fit again.")

        def became(info: CollectionInfo, vectorizer: TextVectorizer) -> None:
            self._info, self._vectorizer = info, vectorizer

        work = Refitting(self._database, self.collection, self._info, self.vectorizer, became, field, show_progress_bar)
        return work.run(fde)

    def search(
        self,
        text: str,
        *,
        limit: int = 10,
        filter: Filter | None = None,
        candidates: int | None = None,
        mode: Mode | None = None,
        explain: bool = False,
    ) -> Hits:
        """The `limit` best documents for a question, best first; `filter` is of the database's own type.

        `candidates` documents are ranked by exact MaxSim in the +rerank modes (default: what the collection was made
        with, else 10 a hit and at least 100).
        With `explain` the stages are searched one by one, and the result's `stages` say what each found, and when.
        """
        if not isinstance(text, str):
            raise InputError(f"the question is a {type(text).__name__}, expected a str; search one question at a time.")
        plan = self._plan(mode, limit, candidates)
        began = time.perf_counter()
        encoded = self.vectorizer.encode_query([text], outputs=plan.outputs, show_progress_bar=False)
        encoding = StageReport("encode", (time.perf_counter() - began) * 1000, 0, [])
        hits = self._hits(Question(encoded, text), plan, limit, filter, candidates, explain)
        if explain:
            hits.stages.insert(0, encoding)
        return hits

    def search_encoded(
        self,
        encoded: Encoded,
        *,
        text: str = "",
        limit: int = 10,
        filter: Filter | None = None,
        candidates: int | None = None,
        mode: Mode | None = None,
        explain: bool = False,
    ) -> Hits:
        """As `search`, with the vectors of one query that exist already; the hybrid modes need its `text`, too."""
        plan = self._plan(mode, limit, candidates)
        if len(encoded) != 1:
            raise InputError(f"encoded holds {len(encoded)} queries, expected one: search encoded[i:i + 1] in turn.")
        if plan.words and not text:
            raise InputError("the hybrid modes find by words, too, and there are none: search_encoded(..., text=...).")
        given = _dims_of(encoded)
        broken = not_finite(encoded)
        if broken:
            raise InputError(f"the query's {broken[0]}.")
        assert self._info is not None
        for name in plan.outputs:
            if given.get(name) != self._info.dims[name]:
                raise InputError(
                    f"the query's {name} hold {given.get(name, 'no')} numbers, collection {self.collection!r} stores "
                    f"{self._info.dims[name]}: encode the query with outputs={plan.outputs} and the same model."
                )
        return self._hits(Question(encoded, text), plan, limit, filter, candidates, explain)

    def delete(self, ids: Sequence[Id]) -> None:
        """Remove documents by the caller's ids; ids that are not there are no error."""
        self._check_open()
        if isinstance(ids, str):
            raise InputError("ids is one str, expected a list of ids: [id].")
        if self._info is not None and len(ids):
            self._database.delete([self._key(i) for i in ids])

    def payloads(self, ids: Sequence[Id]) -> dict[Id, dict[str, Any]]:
        """The payloads of documents by the caller's ids, in their order; ids that are not there are left out."""
        self._check_open()
        if isinstance(ids, str):
            raise InputError("ids is one str, expected a list of ids: [id].")
        keys = {self._key(i): i for i in ids}
        found = self._database.payloads(list(keys)) if self._info is not None and keys else {}
        return {document_id: found[key] for key, document_id in keys.items() if key in found}

    def scan(self, most: int) -> Iterator[tuple[Id, dict[str, Any]]]:
        """The id and payload of at most `most` documents, in the database's own order, read as they are asked for."""
        self._check_open()
        return iter(()) if self._info is None else self._database.scan(most)

    def count(self) -> int:
        """How many documents the collection holds."""
        self._check_open()
        return 0 if self._info is None else self._database.count()

    def close(self) -> None:
        """Release the database; the collection stays. Once closed, everything else raises StoreError."""
        if not self._closed:
            self._closed = True
            self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self, mode: Mode | None) -> CollectionInfo | None:
        if mode is not None:
            plan_of(mode)
        try:
            return self._database.open()
        except NotOursError as error:
            self._not_ours = error
            return None

    def _check_not_closed(self) -> None:
        if self._closed:
            raise StoreError(f"this store of collection {self.collection!r} is closed: open it again.")

    def _check_open(self) -> None:
        self._check_not_closed()
        if self._not_ours is not None:
            raise self._not_ours

    def _check_vectorizer(self, vectorizer: TextVectorizer) -> None:
        assert self._info is not None
        stored = {name: vectorizer.dims[name] for name in self._info.dims if name in vectorizer.dims}
        self._info.check_same_vectors(self._describe(stored, vectorizer), self.collection)

    def _plan(self, mode: Mode | None, limit: int, candidates: int | None) -> Plan:
        self._check_open()
        if self._info is None:
            raise StoreError(f"collection {self.collection!r} does not exist yet: add documents first.")
        if limit < 1 or (candidates is not None and candidates < limit):
            raise InputError(
                f"limit is {limit} and candidates {candidates}; expected limit >= 1 and at least as many candidates."
            )
        self._info.check_mode(mode or self.mode, self.collection)
        return plan_of(mode or self.mode)

    def _wanted(self, given: Mapping[Output, int]) -> tuple[Output, ...]:
        wanted = tuple(self._info.dims) if self._info else self._outputs
        missing = [name for name in wanted if name not in given]
        if missing:
            raise ConfigurationError(
                f"collection {self.collection!r} stores {', '.join(wanted)}, the vectors at hand are "
                f"{', '.join(given) or 'none'}: {', '.join(missing)} missing. Use a vectorizer that gives them "
                "(an fde=... for 'fde'), or another mode."
            )
        return wanted

    def _describe(self, dims: Mapping[Output, int], vectorizer: TextVectorizer | None) -> CollectionInfo:
        fde = vectorizer.fde if vectorizer is not None and "fde" in dims else None
        # A vectorizer of the caller's own need not know of any.
        recipe = getattr(vectorizer, "recipe", None)
        return CollectionInfo(
            model=vectorizer.model if vectorizer else None,
            encoder=vectorizer.fingerprint if vectorizer else None,
            recipe=recipe if recipe != Recipe() else None,
            fde=fde.fingerprint if fde else None,
            dims=dict(dims),
            mode=self.mode,
            candidates=self._candidates,
            dtypes=self._dtypes,
            words=plan_of(self.mode).words or self._database.always_words,
        )

    def _ensure_created(self, dims: Mapping[Output, int]) -> None:
        if self._info is None:
            info = self._describe(dims, self._vectorizer)
            info.check_mode(self.mode, self.collection)
            self._keep_fit(info)
            self._database.create(info)
            self._info = info
        elif dims != self._info.dims:
            raise InputError(
                f"the vectors have {dict(dims)} numbers, collection {self.collection!r} {self._info.dims}."
            )

    def _keep_fit(self, info: CollectionInfo) -> None:
        """Before the collection says that it was made with it."""
        if self._vectorizer is not None and info.fde is not None:
            keep_fit(self._database, self._vectorizer.fde)

    def _stored(self) -> tuple[Output, ...]:
        assert self._info is not None
        return tuple(self._info.dims)

    def _adding(self, stored: Sequence[Output]) -> Adding:
        return Adding(
            stored,
            self._database.contents,
            self._database.refusals,
            self._database.upsert,
            chunk_bytes=self.chunk_bytes,
            at_once=self._database.writes_at_once,
        )

    def _documents(self, texts: Sequence[str], outputs: Sequence[Output]) -> Encoded:
        return self.vectorizer.encode_document(texts, outputs=outputs, show_progress_bar=False)

    def _hits(
        self, question: Question, plan: Plan, limit: int, filter: Filter | None, candidates: int | None, explain: bool
    ) -> Hits:
        assert self._info is not None
        wanted = candidates or default_candidates(limit, self._candidates or self._info.candidates)
        if not explain:
            return Hits(self._database.search(question, plan, limit, filter, wanted))
        return explained(
            lambda plan, limit: self._database.search(question, plan, limit, filter, wanted),
            question,
            plan,
            limit,
            wanted,
        )

    def _key(self, document_id: Id) -> str:
        adopted = self._info is not None and self._info.adopted
        return self._database.own_key(document_id) if adopted else key_of(document_id)

    def _extended(self, dims: Mapping[Output, int]) -> CollectionInfo:
        """What the collection is once it has vectors of `dims`, too."""
        if self._info is None and self._not_ours is None:
            raise StoreError(f"collection {self.collection!r} does not exist yet: there is nothing to fill in.")
        given = self._describe(dims, self.vectorizer)
        if self._info is None:
            given.check_mode(self.mode, self.collection)
            return given.model_copy(update={"adopted": True})
        self._check_vectorizer(self.vectorizer)
        # One with dense vectors alone has no FDE's fingerprint yet.
        return self._info.model_copy(
            update={"dims": {**self._info.dims, **given.dims}, "fde": given.fde or self._info.fde}
        )

    def _stored_vectorizer(self) -> TextVectorizer:
        if self._info is None and self._config is not None:
            return self._config.vectorizer()
        if self._info is None:
            raise ConfigurationError(
                f"collection {self.collection!r} is new: open it with vectorizer=..., or use add_encoded."
            )
        vectorizer = stored_vectorizer(self._database, self._info, self.collection)
        self._check_vectorizer(vectorizer)
        return vectorizer


def _dims_of(encoded: Encoded) -> dict[Output, int]:
    return {name: part.dim if name == "tokens" else part.shape[1] for name, part in encoded.vectors()}
