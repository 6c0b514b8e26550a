"""A vectorizer and a mode as mteb's search model."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
from mteb._create_dataloaders import create_dataloader
from mteb.models import ModelMeta
from mteb.models.model_meta import ScoringFunction
from mteb.types import PromptType

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError, InputError, StoreError
from vectorplug.maxsim import maxsim
from vectorplug.search import Mode, Store, open_store
from vectorplug.search.modes import plan_of
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["VectorplugSearch"]

BATCH_TEXTS = 256


class VectorplugSearch:
    """mteb's `SearchProtocol`: each corpus becomes a collection at `url`, which is searched in `mode`.

    `url` is as for `open_store`: memory: searches all vectors exactly; edge:FOLDER or a server measures a database, and
    each task's collection (`mteb-`, the task's name, subset and split) stays there. The modes of words need a server.
    `candidates` are how many documents the +rerank modes rank by exact MaxSim, and so the most that they return: with
    100, Recall@1000 is of 100. Where a task brings the documents to rank (reranking), the vectors of the mode's last
    stage score them, and no store is asked.
    """

    def __init__(
        self,
        vectorizer: TextVectorizer,
        mode: Mode = "fde+rerank",
        *,
        url: str = "memory:",
        candidates: int = 100,
    ) -> None:
        if candidates < 1:
            raise ConfigurationError(f"candidates is {candidates}, expected at least 1.")
        self._plan = plan_of(mode)
        self._vectorizer = vectorizer
        self._mode: Mode = mode
        self._url = url
        self._candidates = candidates
        self._corpus: _Corpus | None = None
        self._store: Store[Any] | None = None

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """Name and revision stand for model, FDE, mode and candidates: mteb keeps results under them."""
        fde = self._vectorizer.fde
        told: dict[str, Any] = {"mode": self._mode, "encoder": self._vectorizer.fingerprint}
        if "fde" in self._plan.outputs and fde is not None:
            told["fde"] = fde.fingerprint
        if self._plan.rerank is not None:
            told["candidates"] = self._candidates
        named = re.split(r"[/:]", self._vectorizer.model.partition("@")[0])[-1]
        late = self._last == "tokens"
        return ModelMeta(
            loader=None,
            name=f"vectorplug/{named}",
            revision=hashlib.blake2b(repr(told).encode(), digest_size=20).hexdigest(),
            release_date=None,
            languages=None,
            n_parameters=None,
            memory_usage_mb=None,
            max_tokens=None,
            embed_dim=self._vectorizer.dims[self._last],
            license=None,
            open_weights=None,
            public_training_code=None,
            public_training_data=None,
            framework=["PyTorch"],
            similarity_fn_name=ScoringFunction.MAX_SIM if late else ScoringFunction.DOT_PRODUCT,
            use_instructions=None,
            training_datasets=None,
            model_type=["late-interaction" if late else "dense"],
            experiment_kwargs=told,
        )

    def index(
        self,
        corpus: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        num_proc: int | None = None,
        **_: Any,
    ) -> None:
        """Take the corpus of a task; it is encoded when it is searched, since a task may bring its own candidates."""
        self.close()
        name = "-".join(("mteb", task_metadata.name, hf_subset, hf_split))
        self._corpus = _Corpus(corpus, task_metadata, num_proc, re.sub(r"[^A-Za-z0-9_-]", "_", name))

    def search(
        self,
        queries: Any,
        *,
        top_k: int,
        encode_kwargs: Any,
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        **_: Any,
    ) -> dict[str, dict[str, float]]:
        """The documents of each query's id and their scores, `top_k` at most.

        What an earlier search has put into the collection is not encoded again. StoreError before `index`;
        PartialFailureError where the store refuses documents; InputError where `top_ranked` names unknown ones.
        """
        if self._corpus is None:
            raise StoreError("there is nothing to search yet: call index with a corpus first.")
        shown = encode_kwargs.get("show_progress_bar")
        texts = list(self._corpus.texts(queries, PromptType.query))
        encoded = self._vectorizer.encode_query(texts, outputs=self._plan.outputs, show_progress_bar=shown)
        ids: list[str] = list(queries["id"])
        if top_ranked is not None:
            scores = self._scored(ids, encoded, top_ranked)
            return {query: dict(sorted(found.items(), key=lambda item: -item[1])[:top_k]) for query, found in scores}
        store = self._filled(shown)
        candidates = None if self._plan.rerank is None else self._candidates
        limit = top_k if candidates is None else min(top_k, candidates)
        found = {}
        for i, (query, text) in enumerate(zip(ids, texts, strict=True)):
            hits = store.search_encoded(encoded[i : i + 1], text=text, limit=limit, candidates=candidates)
            found[query] = {str(hit.id): float(hit.score) for hit in hits}
        return found

    def close(self) -> None:
        """Close the collection; what it holds stays where the store outlives the process."""
        if self._store is not None:
            self._store.close()
            self._store = None

    @property
    def _last(self) -> Output:
        """Which vectors decide the order in the end."""
        return self._plan.rerank or self._plan.find

    def _filled(self, shown: bool | None) -> Store[Any]:
        assert self._corpus is not None
        if self._store is None:
            name = self._corpus.collection
            store = open_store(self._url, collection=name, vectorizer=self._vectorizer, mode=self._mode)
            self._store = store
            texts = self._corpus.texts(self._corpus.documents, PromptType.document)
            store.add(texts, self._corpus.documents["id"], show_progress_bar=shown).raise_failed()
        return self._store

    def _scored(
        self, ids: Sequence[str], queries: Encoded, top_ranked: Mapping[str, Sequence[str]]
    ) -> Iterator[tuple[str, dict[str, float]]]:
        """Each query's id with the scores of the documents that it brings, of which each is encoded once."""
        assert self._corpus is not None
        found: dict[str, dict[str, float]] = {query: {} for query in ids}
        asking: dict[str, list[int]] = {}
        for i, query in enumerate(ids):
            for document in top_ranked.get(query, ()):
                asking.setdefault(document, []).append(i)
        places = {document: place for place, document in enumerate(self._corpus.documents["id"])}
        unknown = [document for document in asking if document not in places]
        if unknown:
            raise InputError(f"{len(unknown)} documents to rank are not in the corpus, {unknown[0]!r} for example.")
        for chunk in _chunks(list(asking)):
            rows = self._corpus.documents.select([places[document] for document in chunk])
            texts = list(self._corpus.texts(rows, PromptType.document))
            encoded = self._vectorizer.encode_document(texts, outputs=(self._last,), show_progress_bar=False)
            wanted: dict[int, list[int]] = {}
            for position, document in enumerate(chunk):
                for i in asking[document]:
                    wanted.setdefault(i, []).append(position)
            for i, positions in wanted.items():
                scores = self._scores(queries[i : i + 1], encoded, positions).tolist()
                found[ids[i]].update(zip((chunk[position] for position in positions), scores, strict=True))
        return iter(found.items())

    def _scores(self, query: Encoded, documents: Encoded, positions: list[int]) -> npt.NDArray[Any]:
        if self._last == "tokens":
            assert query.tokens is not None
            assert documents.tokens is not None
            scores: npt.NDArray[Any] = maxsim(query.tokens, documents.tokens.take(positions))[0]
            return scores
        mine, theirs = getattr(query, self._last), getattr(documents, self._last)
        scores = theirs[positions] @ mine[0]
        return scores


@dataclass(frozen=True, slots=True)
class _Corpus:
    """A task's documents, a dataset with "id", and how mteb makes texts of such rows."""

    documents: Any
    task_metadata: Any
    num_proc: int | None
    collection: str

    def texts(self, rows: Any, role: PromptType) -> Iterator[str]:
        batches = create_dataloader(
            rows,
            task_metadata=self.task_metadata,
            prompt_type=role,
            batch_size=BATCH_TEXTS,
            num_proc=self.num_proc,
        )
        for batch in batches:
            yield from batch["text"]


def _chunks(documents: list[str]) -> Iterator[list[str]]:
    return (documents[start : start + BATCH_TEXTS] for start in range(0, len(documents), BATCH_TEXTS))
