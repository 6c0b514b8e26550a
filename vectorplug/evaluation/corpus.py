"""Documents out of files: .jsonl, .csv, .txt, .md, .html, and folders of these."""

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

from vectorplug.errors import InputError
from vectorplug.evaluation.pages import visible_text

__all__ = ["BEIR_CORPUS", "SUFFIXES", "BrokenLine", "Document", "read_corpus"]

TEXT_FIELDS = ("text", "content", "body")
ID_FIELDS = ("_id", "id")
BEIR_CORPUS = "corpus.jsonl"
# The csv module refuses longer fields; its own limit, 128 KB, is less than a long article.
CSV_FIELD_CHARACTERS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Document:
    """One text, with its title before it, and what else the file says of it."""

    id: str
    text: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that gives no document and why; `line_number` counts from 1, None where it is the whole file."""

    path: Path
    line_number: int | None
    reason: str

    def __str__(self) -> str:
        place = self.path if self.line_number is None else f"{self.path}:{self.line_number}"
        return f"{place}: {self.reason}"


def read_corpus(
    paths: str | Path | Sequence[str | Path], *, on_broken: Callable[[BrokenLine], None] | None = None
) -> Iterator[Document]:
    """The documents of files and folders, one by one; `on_broken` is told of whatever cannot be used and left out.

    .jsonl and .csv (with a header) hold one document a line: the text is in "text", else "content", else "body"; a
    "title" is put before it. .txt, .md and .html are one document each, however long: splitting is the caller's.
    A folder gives what is in it and below it, sorted, without hidden files, linked folders and other types; where it
    holds BEIR's corpus.jsonl, that file alone, because the queries beside it are no documents.

    `id` is "_id", else "id", else the path as it was given here, with `:line` in a .jsonl or .csv. The payload holds
    "source" (that path), the title, and all fields that are str, int, float or bool, those in "metadata" too.
    Files are UTF-8, with or without a byte order mark. InputError, before anything is read, for a path that does not
    exist or is of another type; for a broken line where there is no `on_broken`.
    """
    roots = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    for root in roots:
        if not root.exists():
            raise InputError(f"{root} does not exist; expected a folder or a file of {', '.join(SUFFIXES)}.")
        if not root.is_dir() and root.suffix.lower() not in readers:
            raise InputError(f"{root} is none of {', '.join(SUFFIXES)}: convert it to one of these first.")
    lines = chain.from_iterable(_read_folder(root) if root.is_dir() else _read_file(root) for root in roots)
    return _documents(lines, on_broken)


def _documents(
    lines: Iterator[Document | BrokenLine], on_broken: Callable[[BrokenLine], None] | None
) -> Iterator[Document]:
    for line in lines:
        if isinstance(line, Document):
            yield line
        elif on_broken is None:
            raise InputError(f"{line}. Correct it or take it out.")
        else:
            on_broken(line)


def _read_folder(folder: Path) -> Iterator[Document | BrokenLine]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as error:
        yield BrokenLine(folder, None, f"cannot be read: {error.strerror}")
        return
    if folder / BEIR_CORPUS in entries:
        entries = [folder / BEIR_CORPUS]
    for entry in entries:
        if not entry.is_dir():
            if entry.suffix.lower() in readers:
                yield from _read_file(entry)
        elif not entry.is_symlink():  # a linked folder may hold this one
            yield from _read_folder(entry)


def _read_file(path: Path) -> Iterator[Document | BrokenLine]:
    try:
        if path.stat().st_size == 0:
            yield BrokenLine(path, None, "the file is empty")
            return
        yield from readers[path.suffix.lower()](path)
    except OSError as error:
        yield BrokenLine(path, None, f"cannot be read: {error.strerror}")


def _read_jsonl(path: Path) -> Iterator[Document | BrokenLine]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if content.strip():
                yield _from_json(content, path, number)


def _from_json(line: bytes, path: Path, number: int) -> Document | BrokenLine:
    try:
        fields = json.loads(line.decode(), parse_constant=_refuse_constant)
        return _document(fields, path, number)
    except UnicodeDecodeError as error:
        return BrokenLine(path, number, _not_utf8(error))
    except json.JSONDecodeError as error:
        return BrokenLine(path, number, f"not JSON ({error.msg} at column {error.colno})")
    except RecursionError:
        return BrokenLine(path, number, "not JSON that can be read (nested too deep)")
    except ValueError as error:
        return BrokenLine(path, number, str(error))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"not JSON ({name} is no number there)")


def _read_csv(path: Path) -> Iterator[Document | BrokenLine]:
    csv.field_size_limit(CSV_FIELD_CHARACTERS)
    header: list[str] = []
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        # Strict, because the lenient reader takes everything after a stray quote for one field.
        rows = csv.reader(file, strict=True)
        while True:
            number = rows.line_num + 1
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield BrokenLine(path, number, f"not CSV ({error})")
                continue
            if not header:
                header = row
                if row and not set(row) & set(TEXT_FIELDS):
                    yield BrokenLine(path, number, _no_text(row))
                    return
            elif row:
                yield _from_row(header, row, path, number)


def _from_row(header: list[str], row: list[str], path: Path, number: int) -> Document | BrokenLine:
    if len(row) != len(header):
        return BrokenLine(path, number, f"{len(row)} fields, the header has {len(header)}")
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return BrokenLine(path, number, "not UTF-8")
    return _document(dict(zip(header, row, strict=True)), path, number)


def _read_whole(path: Path) -> Iterator[Document | BrokenLine]:
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield BrokenLine(path, error.object.count(b"\n", 0, error.start) + 1, _not_utf8(error))
        return
    title, text = "", content.replace("\r\n", "\n").strip()
    if path.suffix.lower() in (".htm", ".html"):
        try:
            title, text = visible_text(content)
        except InputError as error:
            yield BrokenLine(path, None, str(error))
            return
    if title or text:
        yield _document({"title": title, "text": text}, path, None)
    else:
        yield BrokenLine(path, None, "no text")


readers: dict[str, Callable[[Path], Iterator[Document | BrokenLine]]] = {
    ".csv": _read_csv,
    ".htm": _read_whole,
    ".html": _read_whole,
    ".jsonl": _read_jsonl,
    ".md": _read_whole,
    ".txt": _read_whole,
}
SUFFIXES = tuple(readers)


def _document(fields: object, path: Path, number: int | None) -> Document:
    """The document of one line's fields; ValueError says what is wrong with them."""
    if not isinstance(fields, dict):
        raise ValueError(f"a {type(fields).__name__}, expected an object with one of {', '.join(TEXT_FIELDS)}")
    rest = dict(fields)
    text_field = next((name for name in TEXT_FIELDS if isinstance(rest.get(name), str)), None)
    if text_field is None:
        raise ValueError(_no_text(list(rest)))
    text, title = rest.pop(text_field), rest.get("title")
    if isinstance(title, str):
        text = f"{title} {text}".strip()
    source = path.as_posix()
    identity = _take_id(rest) or (source if number is None else f"{source}:{number}")
    metadata = rest.pop("metadata") if isinstance(rest.get("metadata"), dict) else {}
    payload = {"source": source, **_scalars(metadata), **_scalars(rest)}
    # The store keeps the text under this name.
    payload.pop("text", None)
    return Document(identity, text, payload)


def _take_id(fields: dict[str, Any]) -> str | None:
    for name in ID_FIELDS:
        value = fields.get(name)
        if value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"{name!r} is a {type(value).__name__}, expected a str or an int")
        del fields[name]
        return str(value)
    return None


def _scalars(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if isinstance(value, str | int | float) and value != ""}


def _no_text(names: list[str]) -> str:
    return f"no text: the fields are {', '.join(names) or 'none'}, expected one of {', '.join(TEXT_FIELDS)}"


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"not UTF-8 (byte 0x{error.object[error.start]:02x}): save it as UTF-8"
