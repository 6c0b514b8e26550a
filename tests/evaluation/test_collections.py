from pathlib import Path

import pytest

from vectorplug.errors import InputError
from vectorplug.evaluation import read_collection

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
    (write(tmp_path) / "qrels.tsv").unlink()
    with pytest.raises(InputError, match=r"has no qrels\.tsv \(nor qrels/test\.tsv\); expected BEIR's layout"):
        read_collection(tmp_path)
    (tmp_path / "corpus.jsonl").unlink()
    with pytest.raises(InputError, match=r"has no corpus\.jsonl and no qrels\.tsv"):
        read_collection(tmp_path)
    with pytest.raises(InputError, match="nowhere is no folder"):
        read_collection(tmp_path / "nowhere")


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
