"""A test collection in BEIR's layout: documents, queries, and which documents answer which query."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vectorplug.errors import InputError
from vectorplug.evaluation.corpus import Document, read_corpus

__all__ = ["BeirCollection", "read_collection"]

Qrels = dict[str, dict[str, int]]
LAYOUT = "corpus.jsonl, queries.jsonl, and qrels.tsv or qrels/test.tsv"
NAMED = 5


@dataclass(frozen=True, slots=True)
class BeirCollection:
    """`queries` {query id: text}, `qrels` {query id: {document id: grade}}: both hold the same queries.

    Every judged document is one of `documents`. `notes` says in sentences what the files hold beyond that.
    """

    name: str
    documents: tuple[Document, ...]
    queries: dict[str, str]
    qrels: Qrels
    notes: tuple[str, ...] = ()


def read_collection(folder: str | Path) -> BeirCollection:
    """The collection in `folder`: corpus.jsonl, queries.jsonl, and qrels.tsv, else qrels/test.tsv.

    Judgements are lines of query id, document id and grade (an int; 0 and less are no answers), with tabs between,
    with or without a header. Judgements of unknown queries or documents are ignored, queries without a judged
    document are left out, and the notes say which. InputError where a file is missing or a line is broken, where an
    id is there twice and where no query is left: the figures would be of another collection.
    """
    folder = Path(folder)
    corpus, queries = folder / "corpus.jsonl", folder / "queries.jsonl"
    judgements = [folder / "qrels.tsv", folder / "qrels" / "test.tsv"]
    found = next((path for path in judgements if path.is_file()), None)
    missing = [path.name for path in (corpus, queries) if not path.is_file()]
    if found is None:
        missing.append("qrels.tsv (nor qrels/test.tsv)")
    if missing or found is None:
        what = f"has no {' and no '.join(missing)}" if folder.is_dir() else "is no folder"
        raise InputError(f"{folder} {what}; expected BEIR's layout: {LAYOUT}.")
    documents = tuple(_distinct(corpus))
    texts = {query.id: query.text for query in _distinct(queries)}
    qrels, notes = _known(_read_qrels(found), list(texts), {document.id for document in documents})
    if not qrels:
        raise InputError(
            f"{found} judges no document of {corpus.name} ({len(documents)} documents) for a query of {queries.name} "
            f"({len(texts)} queries): the ids of the three files must agree. {' '.join(notes)}"
        )
    name = folder.resolve().name
    return BeirCollection(name, documents, {query: texts[query] for query in qrels}, qrels, notes)


def _distinct(path: Path) -> Iterator[Document]:
    seen: set[str] = set()
    for line in read_corpus(path):
        if line.id in seen:
            raise InputError(f"{path} holds the id {line.id!r} twice; expected every id once.")
        seen.add(line.id)
        yield line


def _read_qrels(path: Path) -> Qrels:
    qrels: Qrels = {}
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}).") from error
    for number, line in enumerate(lines, start=1):
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


def _known(given: Qrels, queries: list[str], documents: set[str]) -> tuple[Qrels, tuple[str, ...]]:
    """The judgements of known queries and documents, in the queries' order, and notes on the others."""
    known = {
        query: {document: grade for document, grade in given.get(query, {}).items() if document in documents}
        for query in queries
    }
    unknown_queries = [query for query in given if query not in known]
    unknown_documents = [document for judged in given.values() for document in judged if document not in documents]
    unjudged = [query for query, judged in known.items() if not judged]
    notes = (
        _note("judged queries are not in queries.jsonl: their judgements are ignored", unknown_queries),
        _note("judgements are of documents that are not in corpus.jsonl: they are ignored", unknown_documents),
        _note("queries have no judged document: they are left out", unjudged),
    )
    return {query: judged for query, judged in known.items() if judged}, tuple(filter(None, notes))


def _note(what: str, ids: Iterable[str]) -> str:
    ids = list(ids)
    named = ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
    return f"{len(ids)} {what} ({named})." if ids else ""
