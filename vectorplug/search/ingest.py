"""From a stream of texts to windows of documents that are worth encoding."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from vectorplug.encoded import Encoded
from vectorplug.errors import InputError
from vectorplug.search.hits import Id, Row, content_hash, key_of

__all__ = ["TEXT", "Window", "chunks_by_bytes", "windows"]

# The payload field that holds the text where the caller's payload has none of that name.
TEXT = "text"
# A window is encoded at once: enough texts to sort by length, few enough that their vectors fit beside anything.
WINDOW_DOCUMENTS = 256
WINDOW_CHARACTERS = 1_000_000
_ended: Any = object()


@dataclass(slots=True)
class Window:
    """Some documents of the stream: `rows[i]` is made from `texts[i]`; `failed` holds those that cannot be used."""

    rows: list[Row] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    failed: list[tuple[Id, str]] = field(default_factory=list)

    def add(self, text: str, document_id: Id | None, payload: Mapping[str, Any]) -> None:
        """Take one document in, or note why it cannot be."""
        try:
            if not isinstance(text, str):
                raise InputError(f"the text is a {type(text).__name__}, expected a str.")
            text.encode()  # a lone surrogate is a str that no tokenizer and no database takes
            identity = key_of(text) if document_id is None else document_id
            stored = {TEXT: text, **payload}
            row = Row(identity, key_of(identity), stored, content_hash(text, stored))
        except (InputError, UnicodeEncodeError) as error:
            name = document_id if document_id is not None else f"document {len(self.texts) + len(self.failed)}"
            self.failed.append((name, str(error)))
            return
        self.rows.append(row)
        self.texts.append(text)

    def without(self, positions: Iterable[int]) -> "Window":
        """The same window less some of its documents."""
        dropped = set(positions)
        keep = [i for i in range(len(self.rows)) if i not in dropped]
        return Window([self.rows[i] for i in keep], [self.texts[i] for i in keep], self.failed)

    def unique(self) -> "Window":
        """Of documents with one id, the last, as when they are written one after the other."""
        last = {row.key: i for i, row in enumerate(self.rows)}
        return self.without(i for i, row in enumerate(self.rows) if last[row.key] != i)


def windows(
    texts: Iterable[str],
    ids: Iterable[Id] | None,
    payloads: Iterable[Mapping[str, Any] | None] | None,
) -> Iterator[Window]:
    """Windows of the stream in its order; InputError where texts, ids and payloads differ in number."""
    if isinstance(texts, str):
        raise InputError("texts is one str, expected a list of texts: [text].")
    given = {"texts": texts, "ids": ids, "payloads": payloads}
    sizes = {name: len(part) for name, part in given.items() if isinstance(part, Sized)}
    if len(set(sizes.values())) > 1:
        raise InputError(
            f"there are {', '.join(f'{n} {name}' for name, n in sizes.items())}; expected as many of each."
        )
    columns = zip(texts, repeat(None) if ids is None else ids, repeat(None) if payloads is None else payloads)
    window, characters = Window(), 0
    for text, document_id, payload in columns:
        window.add(text, document_id, payload or {})
        characters += len(text) if isinstance(text, str) else 0
        if len(window.rows) + len(window.failed) >= WINDOW_DOCUMENTS or characters >= WINDOW_CHARACTERS:
            yield window
            window, characters = Window(), 0
    if window.rows or window.failed:
        yield window


def chunks_by_bytes(encoded: Encoded, limit: int) -> Iterator[slice]:
    """Runs of texts whose vectors hold at most `limit` bytes together, one text at the least."""
    start, held = 0, 0
    for i, size in enumerate(encoded.nbytes()):
        if i > start and held + size > limit:
            yield slice(start, i)
            start, held = i, 0
        held += int(size)
    if start < len(encoded):
        yield slice(start, len(encoded))
