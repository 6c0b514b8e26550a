"""Documents and queries encoded once, for everything that is measured on them."""

import hashlib
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError
from vectorplug.evaluation.collections import Collection
from vectorplug.evaluation.exact import ExactTop
from vectorplug.evaluation.rankings import Rankings
from vectorplug.evaluation.results import Times
from vectorplug.evaluation.sampling import sample_documents, sample_queries
from vectorplug.evaluation.spool import Spool, spooled
from vectorplug.search.ingest import WINDOW_CHARACTERS, WINDOW_DOCUMENTS
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["Workload", "encode_workload"]

EXACT_DEPTH = 1000
# Encoded to learn how many bytes a document has, where the collection may be too large.
PROBED = 64
# Of the process's memory, the tokens; the rest is for what is made of them.
SHARE = 0.4
# Queries written together: each is encoded alone.
QUERIES_AT_ONCE = 16
SCORE_BYTES = 2**26
FORMAT = "1"

Role = Literal["document", "query"]


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A collection, encoded. `documents.tokens` float16 (or as asked), everything else float32, all memory-mapped.

    `collection` holds exactly the documents and queries that were encoded, `notes` (its own and more) what was left
    out. `documents` and `queries` hold tokens and dense vectors, FDEs where they were asked for. `exact` ranks all
    documents by exact MaxSim of these tokens, 1,000 deep. `left_out` int32 [queries] is the position of the document
    that a query was drawn from and that is in none of its rankings, -1 for none.
    """

    collection: Collection
    documents: Encoded
    queries: Encoded
    model: str
    encoder: str
    truncated: int
    documents_per_second: float
    ms_per_query_encoding: Times
    notes: tuple[str, ...]
    exact: Rankings
    left_out: npt.NDArray[np.int32]

    def rank(self, scores: npt.NDArray[Any], depth: int) -> Rankings:
        """The best `depth` by `scores` [queries, documents], which is changed: what is left out gets -inf."""
        rows = np.flatnonzero(self.left_out >= 0)
        scores[rows, self.left_out[rows]] = -np.inf
        return Rankings.of_scores(scores, depth)


def encode_workload(
    collection: Collection,
    vectorizer: TextVectorizer,
    *,
    cache: Path | None,
    documents: int | None = None,
    queries: int | None = None,
    seed: int = 0,
    memory: int | None = None,
    outputs: Sequence[Output] = ("tokens", "dense"),
    token_dtype: Literal["float16", "float32"] = "float16",
    show_progress_bar: bool | None = None,
) -> Workload:
    """Encode `collection`, or at most so many of its `documents` and `queries`, and rank by exact MaxSim.

    In `cache` everything is kept as it is made, under the vectorizer's fingerprint (and its `dtype`, where it has one)
    and a hash of the texts, so that the same call after a kill encodes only what is missing; None keeps nothing. More
    tokens than `memory` bytes (default: two fifths of what the process may have) are not held: fewer documents are
    drawn, and `notes` says so. Judged documents of the queries always stay. `seed` decides what is drawn. Tokens come
    with `outputs` named or not, those of documents in `token_dtype`. Queries are encoded one at a time, as users ask
    them, the first once untimed.

    InputError where there is no query, and for a text that cannot be encoded.
    """
    if not collection.queries:
        raise InputError(f"collection {collection.name!r} has no queries: give some, or draw them from its documents.")
    collection = sample_queries(collection, queries, seed)
    collection = sample_documents(collection, documents, seed)
    collection = _fitting(collection, vectorizer, memory_share(SHARE) if memory is None else memory, seed, token_dtype)
    # tqdm's None means: quiet unless this is a terminal.
    hidden = None if show_progress_bar is None else not show_progress_bar
    dims = vectorizer.dims
    kept: dict[Output, int] = {"tokens": dims["tokens"], **{name: dims[name] for name in outputs}}
    with ExitStack() as stack:
        folder = cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vectorplug-")))
        asked = _Texts("query", list(collection.queries), list(collection.queries.values()))
        given = _Texts("document", [d.id for d in collection.documents], [d.text for d in collection.documents])
        parts = []
        for texts, dtype in ((asked, "float32"), (given, token_dtype)):
            key = _key(vectorizer, texts, kept, dtype)
            spool = stack.enter_context(spooled(folder / key, kept, dtype))
            _fill(spool, texts, vectorizer, kept, hidden)
            parts.append((key, spool, spool.encoded()))
        (query_key, timed, encoded_queries), (document_key, spool, encoded) = parts
        left_out = _left_out(collection)
        kept_at = folder / f"exact-{_hash([query_key, document_key, left_out.tobytes()])}.npz"
        exact = _kept(kept_at) or _exact(encoded, encoded_queries, given, left_out, hidden)
        if cache:
            _keep(kept_at, exact)
    notes = collection.notes
    if cache:
        notes = (*notes, f"the encoded texts are kept in {cache} for the next run; delete it whenever you like.")
    return Workload(
        collection=collection,
        documents=encoded,
        queries=encoded_queries,
        model=vectorizer.model,
        encoder=vectorizer.fingerprint,
        truncated=sum(cut > 0 for cut in spool.truncated),
        documents_per_second=spool.count / sum(spool.seconds),
        ms_per_query_encoding=Times.of(timed.seconds),
        notes=notes,
        exact=exact,
        left_out=left_out,
    )


@dataclass(frozen=True, slots=True)
class _Texts:
    role: Role
    ids: list[str]
    texts: list[str]

    def chunks(self, begin: int) -> Iterator[slice]:
        """Slices from `begin` on, each worth encoding at once."""
        most = QUERIES_AT_ONCE if self.role == "query" else WINDOW_DOCUMENTS
        characters = 0
        for end in range(begin + 1, len(self.texts) + 1):
            characters += len(self.texts[end - 1])
            if end - begin >= most or characters >= WINDOW_CHARACTERS or end == len(self.texts):
                yield slice(begin, end)
                begin, characters = end, 0


def _fitting(collection: Collection, vectorizer: TextVectorizer, memory: int, seed: int, dtype: str) -> Collection:
    """As many of the documents as have tokens for `memory` bytes."""
    row = vectorizer.dims["tokens"] * np.dtype(dtype).itemsize
    # No tokenizer makes more tokens than there are characters, but for a few markers.
    if sum(len(document.text) + 8 for document in collection.documents) * row <= memory:
        return collection
    drawn = np.random.default_rng(seed).permutation(len(collection.documents))[:PROBED]
    probe = [collection.documents[i] for i in drawn]
    texts = _Texts("document", [document.id for document in probe], [document.text for document in probe])
    tokens = _encode(texts, slice(0, len(probe)), vectorizer, ["tokens"]).tokens
    assert tokens is not None
    most = max(1, int(memory // (tokens.lengths.mean() * row)))
    return sample_documents(collection, most, seed, why=f"; tokens of more than {memory / 1e9:,.1f} GB are not held")


def memory_share(share: float) -> int:
    """Bytes: `share` of what this process may have at all, which is the same in the next run."""
    from vectorplug.residency.memory import CpuMemory  # here, because it imports torch

    return int(CpuMemory().size * share)


def _key(vectorizer: TextVectorizer, texts: _Texts, dims: Mapping[Output, int], dtype: str) -> str:
    """A folder's name that differs where the vectors may."""
    fde = vectorizer.fde.fingerprint if "fde" in dims and vectorizer.fde is not None else ""
    recipe = [
        FORMAT,
        dtype,
        vectorizer.fingerprint,
        # Where the vectorizer says so: bfloat16 gives other numbers than float32.
        str(getattr(vectorizer, "dtype", "")),
        fde,
        *(f"{name}={dim}" for name, dim in sorted(dims.items())),
    ]
    return f"{texts.role}-{_hash([*recipe, *texts.texts])}"


def _hash(parts: Sequence[str | bytes]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        # A lone surrogate is refused when it is encoded, and must not end it here.
        content = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.hexdigest()


def _fill(
    spool: Spool, texts: _Texts, vectorizer: TextVectorizer, dims: Mapping[Output, int], hidden: bool | None
) -> None:
    """Encode what `spool` lacks of `texts`."""
    if spool.count < len(texts.texts) and texts.role == "query":
        _encode(texts, slice(0, 1), vectorizer, list(dims))
    plural = "queries" if texts.role == "query" else "documents"
    total = len(texts.texts)
    with tqdm(total=total, initial=spool.count, desc=f"Encoding {plural}", unit=texts.role, disable=hidden) as bar:
        for chunk in texts.chunks(spool.count):
            alone = texts.role == "query"
            parts = [slice(i, i + 1) for i in range(chunk.start, chunk.stop)] if alone else [chunk]
            encoded, seconds = [], []
            for part in parts:
                start = time.perf_counter()
                encoded.append(_encode(texts, part, vectorizer, list(dims)))
                seconds.append(time.perf_counter() - start)
            spool.append(Encoded.concatenate(encoded), seconds)
            bar.update(chunk.stop - chunk.start)


def _encode(texts: _Texts, part: slice, vectorizer: TextVectorizer, outputs: Sequence[Output]) -> Encoded:
    encode = vectorizer.encode_query if texts.role == "query" else vectorizer.encode_document
    try:
        return encode(texts.texts[part], outputs=outputs, show_progress_bar=False)
    except InputError as error:
        if error.index is None:
            raise
        raise InputError(f"{texts.role} {texts.ids[part][error.index]!r}: {error}") from error


def _left_out(collection: Collection) -> npt.NDArray[np.int32]:
    places = {document.id: i for i, document in enumerate(collection.documents)}
    sources = (collection.drawn_from.get(query) for query in collection.queries)
    return np.array([-1 if source is None else places.get(source, -1) for source in sources], np.int32)


def _exact(
    documents: Encoded, queries: Encoded, texts: _Texts, left_out: npt.NDArray[np.int32], hidden: bool | None
) -> Rankings:
    assert documents.tokens is not None
    assert queries.tokens is not None
    exact = ExactTop(queries.tokens, EXACT_DEPTH, left_out)
    step = max(WINDOW_DOCUMENTS, SCORE_BYTES // (4 * len(queries)))
    total = len(documents)
    with tqdm(total=total, desc="Exact MaxSim", unit="document", disable=hidden) as bar:
        for begin in range(0, total, step):
            part = documents.tokens[begin : begin + step]
            exact.see(texts.ids[begin : begin + step], part)
            bar.update(len(part))
    return exact.top()


def _kept(path: Path) -> Rankings | None:
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            return Rankings(arrays["positions"], arrays["scores"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # not there, or torn: it is computed again


def _keep(path: Path, exact: Rankings) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        np.savez(file, positions=exact.positions, scores=exact.scores)
    partial.replace(path)
