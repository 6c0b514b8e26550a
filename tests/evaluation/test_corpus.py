import json
import os
from pathlib import Path

import pytest

from vectorplug.errors import InputError
from vectorplug.evaluation import BrokenLine, Document, read_corpus


@pytest.fixture(autouse=True)
def _in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(*paths: str | Path) -> tuple[list[Document], list[str]]:
    broken: list[BrokenLine] = []
    documents = list(read_corpus(paths, on_broken=broken.append))
    return documents, [str(line) for line in broken]


def test_a_line_of_beirs_corpus() -> None:
    line = {"_id": "7", "title": "Waves", "text": "on the sea", "metadata": {"year": 1999, "tags": ["a"], "url": ""}}
    write("corpus.jsonl", json.dumps(line))
    expected = Document("7", "Waves on the sea", {"source": "corpus.jsonl", "title": "Waves", "year": 1999})
    assert read("corpus.jsonl") == ([expected], [])


def test_an_empty_text_is_a_document() -> None:
    write("corpus.jsonl", '{"_id": "471", "title": "", "text": ""}')
    assert read("corpus.jsonl") == ([Document("471", "", {"source": "corpus.jsonl"})], [])


@pytest.mark.parametrize(
    ("fields", "text", "identity", "more"),
    [
        ({"content": "c", "body": "b"}, "c", "a.jsonl:1", {"body": "b"}),
        ({"body": "b"}, "b", "a.jsonl:1", {}),
        ({"text": "t", "content": "c"}, "t", "a.jsonl:1", {"content": "c"}),
        ({"text": None, "content": "c"}, "c", "a.jsonl:1", {}),
        ({"text": "t", "id": 12}, "t", "12", {}),
        ({"text": "t", "id": "x", "_id": "y"}, "t", "y", {"id": "x"}),
        ({"text": "t", "id": None}, "t", "a.jsonl:1", {}),
        ({"text": "t", "id": 0}, "t", "0", {}),
        ({"text": "t", "source": "theirs"}, "t", "a.jsonl:1", {"source": "theirs"}),
        ({"text": "t", "metadata": {"text": "no"}}, "t", "a.jsonl:1", {}),
        (
            {"text": "t", "metadata": "plain", "list": [1], "ok": True},
            "t",
            "a.jsonl:1",
            {"metadata": "plain", "ok": True},
        ),
        ({"text": "t", "title": 5}, "t", "a.jsonl:1", {"title": 5}),
    ],
)
def test_fields(fields: dict[str, object], text: str, identity: str, more: dict[str, object]) -> None:
    write("a.jsonl", json.dumps(fields))
    assert read("a.jsonl") == ([Document(identity, text, {"source": "a.jsonl"} | more)], [])


def test_broken_lines_are_named_and_the_others_read() -> None:
    lines = [
        b'\xef\xbb\xbf{"_id": "1", "text": "one"}',
        b"{nonsense}",
        b"",
        b'["a list"]',
        b'{"title": "no text"}',
        b'{"text": "\xff"}',
        b'{"text": "x", "weight": NaN}',
        b'{"text": "x", "id": [1]}',
        b'{"text": ' + b"[" * 100_000,
        '{"_id": "2", "text": "line\u2028separator"}'.encode(),
    ]
    write("a.jsonl", b"\r\n".join(lines))
    documents, broken = read("a.jsonl")
    assert [(d.id, d.text) for d in documents] == [("1", "one"), ("2", "line\u2028separator")]
    assert broken == [
        "a.jsonl:2: not JSON (Expecting property name enclosed in double quotes at column 2)",
        "a.jsonl:4: a list, expected an object with one of text, content, body",
        "a.jsonl:5: no text: the fields are title, expected one of text, content, body",
        "a.jsonl:6: not UTF-8 (byte 0xff): save it as UTF-8",
        "a.jsonl:7: not JSON (NaN is no number there)",
        "a.jsonl:8: 'id' is a list, expected a str or an int",
        "a.jsonl:9: not JSON that can be read (nested too deep)",
    ]


def test_a_broken_line_is_an_error_where_nobody_listens() -> None:
    write("a.jsonl", '{"text": "one"}\n{')
    documents = read_corpus("a.jsonl")
    assert next(documents).text == "one"
    with pytest.raises(InputError, match=r"a\.jsonl:2: not JSON .* Correct it or take it out\."):
        next(documents)


def test_a_file_streams() -> None:
    write("a.jsonl", '{"text": "one"}\n' * 100_000)
    documents = read_corpus("a.jsonl")
    assert next(documents).id == "a.jsonl:1"
    Path("a.jsonl").write_bytes(b"")
    # What had been read ahead of the first document is little.
    assert sum(1 for _ in documents) < 50_000


def test_csv() -> None:
    rows = [
        b"\xef\xbb\xbfid,title,text,year",
        b'a,Waves,"on the ""sea"",\r\nand beyond",1999',
        b"",
        b"b,,plain,",
        b"c,too,few",
        b"d,bad,\xff,1",
        b'e,stray,"quoted"x,1',
        b",,after,2000",
        b'f,open,"never closed,1',
        b"g,,swallowed,1",
    ]
    write("a.csv", b"\r\n".join(rows))
    documents, broken = read("a.csv")
    assert documents == [
        Document("a", 'Waves on the "sea",\r\nand beyond', {"source": "a.csv", "title": "Waves", "year": "1999"}),
        Document("b", "plain", {"source": "a.csv"}),
        Document("a.csv:9", "after", {"source": "a.csv", "year": "2000"}),
    ]
    assert broken == [
        "a.csv:6: 3 fields, the header has 4",
        "a.csv:7: not UTF-8",
        "a.csv:8: not CSV (',' expected after '\"')",
        "a.csv:10: not CSV (unexpected end of data)",
    ]


def test_a_csv_without_a_text_column_is_named() -> None:
    write("a.csv", "name,price\nsalt,1\n")
    assert read("a.csv") == ([], ["a.csv:1: no text: the fields are name, price, expected one of text, content, body"])


def test_a_long_field_of_a_csv() -> None:
    write("a.csv", "text\n" + "wave " * 100_000)
    documents, broken = read("a.csv")
    assert (len(documents[0].text), broken) == (500_000, [])


def test_plain_files_are_one_document_each() -> None:
    write("a.txt", b"\xef\xbb\xbf\r\none\r\ntwo\r\n")
    write("b.md", "# Salt\n\nof the *sea*")
    assert read("a.txt", "b.md") == (
        [
            Document("a.txt", "one\ntwo", {"source": "a.txt"}),
            Document("b.md", "# Salt\n\nof the *sea*", {"source": "b.md"}),
        ],
        [],
    )


def test_plain_files_without_a_text_are_named() -> None:
    write("a.txt", "")
    write("b.md", " \n")
    write("c.html", "<title></title><script>x</script>")
    write("d.txt", b"fine\nfine\n\xe4 is Latin-1")
    assert read(".") == (
        [],
        [
            "a.txt: the file is empty",
            "b.md: no text",
            "c.html: no text",
            "d.txt:3: not UTF-8 (byte 0xe4): save it as UTF-8",
        ],
    )


def test_html_gives_what_a_reader_sees() -> None:
    write(
        "a.html",
        """<!doctype html><html><head><title>Salt &amp;
        sea</title><style>p { color: red }</style><script>if (1 < 2) alert("no")</script></head>
        <body><!-- no --><h1>Of  the<br>sea</h1><p>S<b>al</b>t&nbsp;is
        <a href="x">white</a>.</p><ul><li>one<li>two</ul><template><p>no</p></template>
        <svg><title>drawing</title></svg><noscript>no</noscript></body></html>""",
    )
    [document], broken = read("a.html")
    assert document.payload == {"source": "a.html", "title": "Salt & sea"}
    assert document.text == "Salt & sea Of the\nsea\nSalt is white.\none\ntwo\ndrawing"
    assert broken == []


def test_html_that_the_parser_refuses_is_named() -> None:
    write("a.html", "<p>one</p><![if[ x")
    documents, broken = read("a.html")
    assert len(documents) + len(broken) == 1  # newer Pythons take it for a comment


def test_a_folder_is_read_sorted_and_recursively() -> None:
    for name in ("b/2.txt", "b/1.md", "a.txt", "c/d/e.HTML", ".git/no.txt", "b/.no.txt", "picture.png", "b.csv"):
        write(name, "text\nsalt")
    documents, broken = read(".")
    assert [d.id for d in documents] == ["a.txt", "b/1.md", "b/2.txt", "b.csv:2", "c/d/e.HTML"]
    assert broken == []


def test_a_collections_queries_are_no_documents() -> None:
    write("beir/corpus.jsonl", '{"_id": "1", "text": "one"}')
    write("beir/queries.jsonl", '{"_id": "q", "text": "no"}')
    write("other/queries.jsonl", '{"_id": "2", "text": "two"}')
    assert [d.id for d in read(".")[0]] == ["1", "2"]


def test_what_cannot_be_opened_is_named() -> None:
    os.symlink("nowhere.txt", "a.txt")
    write("b.txt", "salt")
    os.symlink(".", "loop")
    documents, broken = read(".")
    assert [d.id for d in documents] == ["b.txt"]
    assert broken == ["a.txt: cannot be read: No such file or directory"]


def test_equal_names_in_two_folders_are_two_documents() -> None:
    write("a/x.txt", "one")
    write("b/x.txt", "two")
    assert [d.id for d in read("a", Path("b"))[0]] == ["a/x.txt", "b/x.txt"]


def test_a_wrong_path_is_refused_before_anything_is_read() -> None:
    write("a.pdf", "x")
    with pytest.raises(InputError, match=r"nowhere does not exist; expected a folder or a file of \.csv, "):
        read_corpus(["a.pdf", "nowhere"][1:])
    with pytest.raises(InputError, match=r"a\.pdf is none of \.csv, \.htm, \.html, \.jsonl, \.md, \.txt"):
        read_corpus("a.pdf")
