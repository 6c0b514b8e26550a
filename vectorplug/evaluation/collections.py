"""A collection to measure on: documents, queries, and which documents answer which query, as far as it is known."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vectorplug.errors import InputError
from vectorplug.evaluation.corpus import BEIR_CORPUS, SUFFIXES, BrokenLine, Document, read_corpus

__all__ = ["Collection", "Qrels", "read_collection", "read_qrels", "read_queries"]

Qrels = dict[str, dict[str, int]]
NAMED = 5


@dataclass(frozen=True, slots=True)
class Collection:
    """`queries` {query id: text}, `qrels` {query id: {document id: grade}}: both hold the same queries, or qrels none.

    Every judged document is one of `documents`. `drawn_from` {query id: document id} names the document that a query
    was made from, which is left out of that query's rankings. `notes` says in sentences what the files hold beyond.
    """

    name: str
    documents: tuple[Document, ...]
    queries: dict[str, str]
    qrels: Qrels
    notes: tuple[str, ...] = ()
    drawn_from: dict[str, str] = field(default_factory=dict)


def read_collection(folder: str | Path, *, queries: Path | None = None, qrels: Path | None = None) -> Collection:
    """The collection in `folder`: corpus.jsonl, else all texts in it (`read_corpus`).

    Its queries are those of `queries` (see `read_queries`), else of queries.jsonl, else there are none. Its judgements
    are those of `qrels`, else of qrels.tsv, else of qrels/test.tsv, where there are queries: lines of query id,
    document id and grade (an int; 0 and less are no answers), with tabs between, with or without a header. Without
    judgements all queries are kept. Judgements of unknown queries or documents are ignored, queries without a judged
    document are left out, and the notes say which.

    InputError where a named file is missing, a line of corpus, queries or judgements is broken, an id is there twice,
    no judgement is left of those that there are, and where there is no document.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; expected one with corpus.jsonl, or with texts ({_kinds()}).")
    notes: list[str] = []
    documents = _documents(folder, notes)
    asked = queries or _first(folder / "queries.jsonl")
    # Judgements of the queries in the folder say nothing of queries from elsewhere.
    judged = qrels or (None if queries else _first(folder / "qrels.tsv", folder / "qrels" / "test.tsv"))
    texts = read_queries(asked) if asked else {}
    if judged is not None and asked is None:
        raise InputError(f"{judged} judges queries, and {folder} has no queries.jsonl: name a file of queries, too.")
    if judged is None or asked is None:
        return Collection(folder.resolve().name, documents, texts, {}, tuple(notes))
    known, said = _known(read_qrels(judged), list(texts), {document.id for document in documents}, asked.name)
    if not known:
        raise InputError(
            f"{judged} judges no document of {BEIR_CORPUS} ({len(documents)} documents) for a query of {asked.name} "
            f"({len(texts)} queries): the ids of the three must agree. {' '.join(said)}"
        )
    kept = {query: texts[query] for query in known}
    return Collection(folder.resolve().name, documents, kept, known, (*notes, *said))


def read_queries(path: str | Path) -> dict[str, str]:
    """{query id: text} of a .jsonl in BEIR's layout, or of a .txt with one query a line (its id is the line's number).

    InputError where the file is missing, a line is broken, an id is there twice or nothing is left.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} is no file; expected queries, .jsonl in BEIR's layout or .txt with one a line.")
    if path.suffix.lower() == ".txt":
        lines = _lines(path)
        found = {str(number): line.strip() for number, line in enumerate(lines, start=1) if line.strip()}
    else:
        found = {query.id: query.text for query in _distinct(path)}
    if not found:
        raise InputError(f"{path} holds no query.")
    return found


def _documents(folder: Path, notes: list[str]) -> tuple[Document, ...]:
    corpus = folder / BEIR_CORPUS
    if corpus.is_file():
        documents = tuple(_distinct(corpus))
        if not documents:
            raise InputError(f"{corpus} holds no document.")
        return documents
    broken: list[BrokenLine] = []
    beside = {"queries.jsonl", "qrels.tsv"}
    read = read_corpus(
        [entry for entry in sorted(folder.iterdir()) if _is_text(entry) and entry.name not in beside],
        on_broken=broken.append,
    )
    documents = tuple({document.id: document for document in read}.values())
    if not documents:
        raise InputError(
            f"{folder} is no collection: it has no {BEIR_CORPUS}, and no text in any {_kinds()}"
            f"{f' ({broken[0]})' if broken else ''}."
        )
    if broken:
        notes.append(f"{len(broken)} files or lines give no text and are left out ({broken[0]}).")
    return documents


def _is_text(entry: Path) -> bool:
    if entry.name.startswith("."):
        return False
    return (entry.is_dir() and not entry.is_symlink()) or entry.suffix.lower() in SUFFIXES


def _kinds() -> str:
    return ", ".join(SUFFIXES)


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _distinct(path: Path) -> Iterator[Document]:
    seen: set[str] = set()
    for line in read_corpus(path):
        if line.id in seen:
            raise InputError(f"{path} holds the id {line.id!r} twice; expected every id once.")
        seen.add(line.id)
        yield line


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8-sig").split("\n")
    except FileNotFoundError as error:
        raise InputError(f"{path} is no file; expected judgements: query id, document id, grade.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}).") from error


def read_qrels(path: Path) -> Qrels:
    """{query id: {document id: grade}} of a file of judgements; InputError names a line that is none."""
    qrels: Qrels = {}
    for number, line in enumerate(_lines(path), start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if cells == [""]:
            continue
        try:
            query, document, grade = cells
            qrels.setdefault(query, {})[document] = int(grade)
        except ValueError as error:
            if number == 1 and len(cells) == 3:
                qrels.clear()
                continue
            raise InputError(
                f"{path}:{number}: {line.strip()!r} is no judgement; "
                "expected query id, document id and a whole number, with tabs between."
            ) from error
    return qrels


def _known(given: Qrels, queries: list[str], documents: set[str], file: str) -> tuple[Qrels, tuple[str, ...]]:
    """The judgements of known queries and documents, in the queries' order, and notes on the others."""
    known = {
        query: {document: grade for document, grade in given.get(query, {}).items() if document in documents}
        for query in queries
    }
    unknown_queries = [query for query in given if query not in known]
    unknown_documents = [document for judged in given.values() for document in judged if document not in documents]
    unjudged = [query for query, judged in known.items() if not judged]
    notes = (
        _note(f"judged queries are not in {file}: their judgements are ignored", unknown_queries),
        _note("judgements are of documents that are not in corpus.jsonl: they are ignored", unknown_documents),
        _note("queries have no judged document: they are left out", unjudged),
    )
    return {query: judged for query, judged in known.items() if judged}, tuple(filter(None, notes))


def _note(what: str, ids: Iterable[str]) -> str:
    ids = list(ids)
    named = ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
    return f"{len(ids)} {what} ({named})." if ids else ""
