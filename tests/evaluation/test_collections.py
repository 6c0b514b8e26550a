from pathlib import Path

import pytest

from vectorplug.errors import InputError
from vectorplug.evaluation import read_collection, read_queries

CORPUS = '{"_id": "d1", "title": "Salt", "text": "of the sea"}\n{"_id": "d2", "title": "", "text": ""}\n'
QUERIES = '{"_id": "q1", "text": "what is salt"}\r\n{"_id": "q2", "text": "what is bread"}\r\n'


def write(folder: Path, qrels: str = "q1\td1\t1\n", *, at: str = "qrels.tsv", **others: str) -> Path:
    files = {"corpus.jsonl": CORPUS, "queries.jsonl": QUERIES, at: qrels}
    files |= {f"{name}.jsonl": content for name, content in others.items()}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode())
    return folder


@pytest.mark.parametrize("at", ["qrels.tsv", "qrels/test.tsv"])
@pytest.mark.parametrize("header", ["", "query-id\tcorpus-id\tscore\r\n", "\ufeffquery-id\tcorpus-id\tscore\n"])
def test_a_collection(tmp_path: Path, at: str, header: str) -> None:
    collection = read_collection(write(tmp_path, f"{header}q2\td1\t0\nq1\td1\t2\r\n\nq1\td2\t-1", at=at))
    assert collection.name == tmp_path.name
    assert [(d.id, d.text) for d in collection.documents] == [("d1", "Salt of the sea"), ("d2", "")]
    assert list(collection.queries.items()) == [("q1", "what is salt"), ("q2", "what is bread")]
    assert collection.qrels == {"q1": {"d1": 2, "d2": -1}, "q2": {"d1": 0}}
    assert list(collection.qrels) == list(collection.queries)
    assert collection.notes == ()


def test_judgements_of_what_is_not_there_are_noted(tmp_path: Path) -> None:
    unknown = "".join(f"q2\tx{i}\t1\n" for i in range(6))
    collection = read_collection(write(tmp_path, f"q1\td1\t1\nq9\td1\t1\n{unknown}"))
    assert collection.qrels == {"q1": {"d1": 1}}
    assert collection.queries == {"q1": "what is salt"}
    assert collection.notes == (
        "1 judged queries are not in queries.jsonl: their judgements are ignored (q9).",
        "6 judgements are of documents that are not in corpus.jsonl: they are ignored (x0, x1, x2, x3, x4, ...).",
        "1 queries have no judged document: they are left out (q2).",
    )


def test_missing_files_are_named(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(InputError, match=r"none\.txt is no file; expected queries"):
        read_collection(tmp_path, queries=tmp_path / "none.txt")
    with pytest.raises(InputError, match=r"none\.tsv is no file; expected judgements"):
        read_collection(tmp_path, qrels=tmp_path / "none.tsv")
    (tmp_path / "queries.jsonl").unlink()
    with pytest.raises(InputError, match=r"qrels\.tsv judges queries, and .* has no queries\.jsonl"):
        read_collection(tmp_path)
    with pytest.raises(InputError, match=r"nowhere is no folder; expected one with corpus\.jsonl, or with texts"):
        read_collection(tmp_path / "nowhere")


def test_without_judgements_every_query_is_kept(tmp_path: Path) -> None:
    (write(tmp_path) / "qrels.tsv").unlink()
    collection = read_collection(tmp_path)
    assert (list(collection.queries), collection.qrels, collection.notes) == (["q1", "q2"], {}, ())
    (tmp_path / "queries.jsonl").unlink()
    assert read_collection(tmp_path).queries == {}


def test_other_queries_and_judgements(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "more.jsonl").write_text('{"_id": "t1", "text": "where is salt"}\n{"_id": "t2", "text": "x"}\n')
    (tmp_path / "more.tsv").write_text("t1\td1\t1\nq1\td1\t1\n")
    collection = read_collection(tmp_path, queries=tmp_path / "more.jsonl", qrels=tmp_path / "more.tsv")
    assert (collection.queries, collection.qrels) == ({"t1": "where is salt"}, {"t1": {"d1": 1}})
    assert collection.notes[0] == "1 judged queries are not in more.jsonl: their judgements are ignored (q1)."
    # Those in the folder judge the folder's own queries.
    assert read_collection(tmp_path, queries=tmp_path / "more.jsonl").qrels == {}
    assert read_collection(tmp_path, qrels=tmp_path / "more.tsv").qrels == {"q1": {"d1": 1}}


def test_queries_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "asked.txt").write_bytes(b"\xef\xbb\xbfwhat is salt \r\n\r\nwhat is bread")
    assert read_queries(tmp_path / "asked.txt") == {"1": "what is salt", "3": "what is bread"}
    (tmp_path / "asked.txt").write_text("\n \n")
    with pytest.raises(InputError, match=r"asked\.txt holds no query"):
        read_queries(tmp_path / "asked.txt")


def test_a_pile_of_texts(tmp_path: Path) -> None:
    for name, text in {"a.txt": "salt", "b.md": "# Bread", "c/d.html": "<p>wave", "e.txt": "", "f.png": "x"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "what is salt"}')
    collection = read_collection(tmp_path)
    assert [document.text for document in collection.documents] == ["salt", "# Bread", "wave"]
    assert collection.queries == {"q": "what is salt"}
    assert collection.notes[0].startswith("1 files or lines give no text and are left out (")


def test_a_folder_that_is_no_collection(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no collection: it has no corpus\.jsonl, and no text in any \.csv, "):
        read_collection(tmp_path)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(InputError, match=r"is no collection: .*a\.txt: the file is empty"):
        read_collection(tmp_path)
    (tmp_path / "corpus.jsonl").write_text("\n")
    with pytest.raises(InputError, match=r"corpus\.jsonl holds no document"):
        read_collection(tmp_path)


@pytest.mark.parametrize("line", ["q1\td2", "q1\td2\tgood", "q1 d2 1", "q1\t0\td2\t1", "q1\td2\t1.5"])
def test_a_broken_judgement_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(InputError, match=r"qrels\.tsv:2: .* is no judgement; expected query id"):
        read_collection(write(tmp_path, f"q1\td1\t1\n{line}\n"))


def test_a_first_line_of_other_columns_is_no_header(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"qrels\.tsv:1: "):
        read_collection(write(tmp_path, "q1 d1 1\nq1\td1\t1\n"))


def test_judgements_that_are_not_utf8(tmp_path: Path) -> None:
    (write(tmp_path) / "qrels.tsv").write_bytes(b"q1\td\xe4\t1\n")
    with pytest.raises(InputError, match=r"qrels\.tsv is not UTF-8"):
        read_collection(tmp_path)


def test_ids_that_do_not_agree(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"judges no document of corpus\.jsonl \(2 documents\) .* ids .* must agree"):
        read_collection(write(tmp_path, "q1\tD1\t1\n"))


@pytest.mark.parametrize("file", ["corpus", "queries"])
def test_an_id_that_is_there_twice(tmp_path: Path, file: str) -> None:
    lines = {file: (CORPUS if file == "corpus" else QUERIES) * 2}
    with pytest.raises(InputError, match=rf"{file}\.jsonl holds the id '(d1|q1)' twice"):
        read_collection(write(tmp_path, **lines))


def test_a_broken_line_ends_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"corpus\.jsonl:3: not JSON"):
        read_collection(write(tmp_path, corpus=CORPUS + "{"))
