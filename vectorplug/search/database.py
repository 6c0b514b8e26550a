"""What a store asks of a database: one collection of it, or of one tenant."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, TypeVar

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import StoreError
from vectorplug.search.backfill import Unfilled
from vectorplug.search.fingerprint import CollectionInfo
from vectorplug.search.hits import Hit, Id, Question, Rows, own_key_of
from vectorplug.search.modes import Plan

__all__ = ["NO_NAMES", "Database"]

Filter = TypeVar("Filter")

NO_NAMES: Final[Mapping[Output, str]] = MappingProxyType({})
"""Every kind of vector lies under its own name."""


class Database(ABC, Generic[Filter]):
    """One collection, there or yet to be made. Keys are the ids that the database itself has.

    Every method may raise StoreUnavailableError or StoreError; those after `own_key` need not be there.
    """

    writes_at_once: ClassVar[int] = 1
    """Upserts that may run at the same time, each in a thread of its own."""
    can_refit: bool = False
    """Whether it has `extend`, `fill` and `drop_vectors` for vectors of any name."""
    has_one_user: ClassVar[bool] = False
    """Whether nobody else can have the collection open."""
    always_words: ClassVar[bool] = False
    """Whether any collection is found by words, not only one that was made for it."""

    @abstractmethod
    def open(self) -> CollectionInfo | None:
        """What the collection was made with; None where there is none. NotOursError where it is somebody else's."""

    @abstractmethod
    def create(self, info: CollectionInfo) -> None:
        """Make the collection, and write `info` where `open` finds it."""

    @abstractmethod
    def keep_fit(self, fingerprint: str, data: bytes) -> None:
        """Keep some megabytes for the collection, also before `create` makes it; of the same name, the last stay."""

    @abstractmethod
    def read_fit(self, fingerprint: str) -> bytes | None:
        """What was kept; None where it is not there, or not whole."""

    @abstractmethod
    def contents(self, keys: Sequence[str]) -> Mapping[str, str]:
        """key -> content hash of those documents that are there, "" of those that another program wrote."""

    @abstractmethod
    def payloads(self, keys: Sequence[str]) -> Mapping[str, dict[str, Any]]:
        """key -> the caller's payload of those documents that are there."""

    @abstractmethod
    def scan(self, most: int) -> Iterator[tuple[Id, dict[str, Any]]]:
        """The caller's id and payload of `most` documents, of all where there are fewer, in the database's own order.

        Read page by page as they are asked for: a large collection is never read further than `most`.
        """

    @abstractmethod
    def refusals(self, rows: Rows) -> Mapping[int, str]:
        """Position -> why this database cannot hold that document; the others are written."""

    @abstractmethod
    def upsert(self, rows: Rows) -> None:
        """Write documents, replacing those with the same key; durable when it returns.

        PartialFailureError names those that the database refused where the others went in.
        """

    @abstractmethod
    def finish(self) -> None:
        """Called at the end of every `add`: where a database syncs, and builds an index when enough is new."""

    @abstractmethod
    def search(self, question: Question, plan: Plan, limit: int, filter: Filter | None, candidates: int) -> list[Hit]:
        """The best `limit`, best first: found by `plan.find`, with `plan.words` also by BM25 of the text, both fused
        by the database; of `candidates`, ranked by exact MaxSim, where `plan.rerank`.
        """

    @abstractmethod
    def delete(self, keys: Sequence[str]) -> None:
        """Remove documents; keys that are not there are no error."""

    @abstractmethod
    def count(self) -> int:
        """Documents in the collection."""

    @abstractmethod
    def close(self) -> None:
        """Release what is held; called once."""

    def own_key(self, document_id: Id) -> str:
        """The key of a document in an adopted collection, whose ids are the database's own as they are."""
        return own_key_of(document_id)

    def extend(self, info: CollectionInfo) -> None:  # noqa: ARG002
        """Add the vectors of `info` (and the words) that the collection lacks, then write `info` as `create` does.

        Called again after it was interrupted, it goes on.
        """
        raise self._no_backfill()

    def unfilled(self, field: str, names: Sequence[str]) -> Iterator[Sequence[Unfilled]]:  # noqa: ARG002
        """Pages of those documents that lack a vector of those `names`, or whose text changed since; none twice.

        Called before `extend`, too, when the collection may know no such vectors.
        """
        raise self._no_backfill()

    def unfilled_count(self, field: str, names: Sequence[str]) -> int:
        """How many documents `unfilled` gives."""
        return sum(map(len, self.unfilled(field, names)))

    def fill(
        self,
        field: str,  # noqa: ARG002
        documents: Sequence[Unfilled],  # noqa: ARG002
        encoded: Encoded,  # noqa: ARG002
        names: Mapping[Output, str] = NO_NAMES,  # noqa: ARG002
    ) -> None:
        """Write the vectors (and words) of those documents whose text in `field` is still that of `documents`.

        They go under `names`, else under their own. Their payload and their other vectors stay. Those that are gone or
        were changed meanwhile are left alone.
        """
        raise self._no_backfill()

    def drop_vectors(self, name: str, info: CollectionInfo) -> None:  # noqa: ARG002
        """Remove the vectors of that name, if they are there, and write `info` as `create` does.

        A database that cannot remove any leaves them: nothing finds them.
        """
        raise self._no_backfill()

    def drop_fit(self, fingerprint: str) -> None:  # noqa: ARG002
        """Remove a fit that was kept, if it is there."""
        raise self._no_backfill()

    def _no_backfill(self) -> StoreError:
        return StoreError(f"a {type(self).__name__} cannot be given more vectors: index into a new collection.")
