"""From a stream of texts to windows of documents that are worth encoding."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from vectorplug.encoded import Encoded
from vectorplug.errors import InputError
from vectorplug.search.hits import Id, Row, key_of, row_of

__all__ = ["TEXT", "Window", "chunks_by_bytes", "windows"]

# The payload field that holds the text where the caller's payload has none of that name.
TEXT = "text"
# A window is encoded at once: enough texts to sort by length, few enough that their vectors fit beside anything.
WINDOW_DOCUMENTS = 256
WINDOW_CHARACTERS = 1_000_000
_ended: Any = object()


@dataclass(slots=True)
class Window:
    """Some documents of the stream: `rows[i]` is made from `texts[i]`; `failed` holds those that cannot be used.

    `start` is the place in the stream of the first of them, `key` gives the database's id of a caller's.
    """

    rows: list[Row] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    failed: list[tuple[Id, str]] = field(default_factory=list)
    start: int = 0
    key: Callable[[Id], str] = key_of

    def __len__(self) -> int:
        return len(self.rows) + len(self.failed)

    def add(self, text: str, document_id: Id | None, payload: Mapping[str, Any]) -> None:
        """Take one document in, or note why it cannot be."""
        try:
            if not isinstance(text, str):
                raise InputError(f"the text is a {type(text).__name__}, expected a str.")
            if not isinstance(payload, Mapping):
                raise InputError(f"the payload is a {type(payload).__name__}, expected a mapping.")
            text.encode()  # a lone surrogate is a str that no tokenizer and no database takes
            identity = key_of(text) if document_id is None else document_id
            row = row_of(identity, text, {TEXT: text, **payload}, self.key)
        except (InputError, UnicodeEncodeError) as error:
            name = document_id if document_id is not None else f"document {self.start + len(self)}"
            self.failed.append((name, str(error)))
            return
        self.rows.append(row)
        self.texts.append(text)

    def without(self, positions: Iterable[int]) -> "Window":
        """The same window less some of its documents."""
        dropped = set(positions)
        keep = [i for i in range(len(self.rows)) if i not in dropped]
        return Window([self.rows[i] for i in keep], [self.texts[i] for i in keep], self.failed, self.start, self.key)

    def unique(self) -> "Window":
        """Of documents with one id, the last, as when they are written one after the other."""
        last = {row.key: i for i, row in enumerate(self.rows)}
        return self.without(i for i, row in enumerate(self.rows) if last[row.key] != i)


def windows(
    texts: Iterable[str],
    ids: Iterable[Id] | None,
    payloads: Iterable[Mapping[str, Any] | None] | None,
    key: Callable[[Id], str] = key_of,
) -> Iterator[Window]:
    """Windows of the stream in its order; InputError where texts, ids and payloads differ in number."""
    if isinstance(texts, str):
        raise InputError("texts is one str, expected a list of texts: [text].")
    given = {"texts": texts, "ids": ids, "payloads": payloads}
    columns = {name: part for name, part in given.items() if part is not None}
    sizes = {name: len(part) for name, part in columns.items() if isinstance(part, Sized)}
    if len(set(sizes.values())) > 1:
        counts = ", ".join(f"{size} {name}" for name, size in sizes.items())
        raise InputError(f"there are {counts}; expected as many of each.")
    window, characters = Window(key=key), 0
    for values in zip_longest(*columns.values(), fillvalue=_ended):
        document = dict(zip(columns, values, strict=True))
        ended = [name for name, value in document.items() if value is _ended]
        if ended:
            raise InputError(f"{' and '.join(ended)} ended before the others; expected as many of each.")
        text = document["texts"]
        window.add(text, document.get("ids"), document.get("payloads") or {})
        characters += len(text) if isinstance(text, str) else 0
        if len(window) >= WINDOW_DOCUMENTS or characters >= WINDOW_CHARACTERS:
            yield window
            window, characters = Window(start=window.start + len(window), key=key), 0
    if len(window):
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
