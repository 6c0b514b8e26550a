"""What a store asks of whoever makes its vectors."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from vectorplug.compressor import Compressor
from vectorplug.encoded import Encoded, Output

__all__ = ["TextVectorizer"]


class TextVectorizer(Protocol):
    """What a store asks of a vectorizer; `vectorplug.Vectorizer` is one.

    It may have a `recipe`, too: what it cuts in all calls (a `Recipe`), which a collection then remembers; and
    `with_fde(compressor)`, the same with another FDE, so that a store can fit it.
    """

    @property
    def model(self) -> str:
        """The name that loads the same model again."""

    @property
    def fingerprint(self) -> str:
        """Model, revision and recipe in one line."""

    @property
    def fde(self) -> Compressor | None:
        """What folds token vectors into one."""

    @property
    def dims(self) -> Mapping[Output, int]:
        """Numbers of each kind of vector that it gives (of one token for "tokens")."""

    def encode_document(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        """Vectors of n documents."""

    def encode_query(
        self, texts: Sequence[str], *, outputs: Sequence[Output], show_progress_bar: bool | None = None
    ) -> Encoded:
        """Vectors of n queries."""
