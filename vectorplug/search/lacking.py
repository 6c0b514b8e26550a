"""The documents of a collection that lack some of its vectors: how many they are, and how they get them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError
from vectorplug.search.backfill import BackfillReport, Unfilled, estimate, fill_all
from vectorplug.search.database import Database
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["Lacking"]


@dataclass(frozen=True, slots=True)
class Lacking:
    """Those that lack one of `outputs`, which lie under `names`, else under their own; their texts are in `field`."""

    database: Database[Any]
    field: str
    outputs: Sequence[Output]
    names: Mapping[Output, str]

    def check_texts(self) -> None:
        """InputError where none of the first documents has a text in the field."""
        first = next(iter(self._pages()), [])
        if first and all(each.text is None for each in first):
            raise InputError(
                f"none of the first {len(first)} documents has a text in its field {self.field!r}: name the payload "
                "field that holds the text, backfill(field=...). Nothing was changed."
            )

    def estimated(self, vectorizer: TextVectorizer) -> BackfillReport:
        """What `filled` would be, by the first few."""
        return estimate(self._count(), self._pages, partial(self._encode, vectorizer))

    def filled(self, vectorizer: TextVectorizer, show_progress_bar: bool | None) -> BackfillReport:
        """Encode them and write their vectors."""
        return fill_all(
            self._count(),
            self._pages,
            partial(self._encode, vectorizer),
            partial(self.database.fill, self.field, names=self.names),
            at_once=self.database.writes_at_once,
            show_progress_bar=show_progress_bar,
        )

    def _encode(self, vectorizer: TextVectorizer, texts: Sequence[str]) -> Encoded:
        return vectorizer.encode_document(texts, outputs=tuple(self.outputs), show_progress_bar=False)

    def _looked_for(self) -> list[str]:
        return [self.names.get(output, output) for output in self.outputs]

    def _pages(self) -> Iterable[Sequence[Unfilled]]:
        return self.database.unfilled(self.field, self._looked_for())

    def _count(self) -> int:
        return self.database.unfilled_count(self.field, self._looked_for())
