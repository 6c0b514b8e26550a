from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vectorplug.encoded import Encoded
from vectorplug.errors import InputError
from vectorplug.multivectors import MultiVectors
from vectorplug.search.hits import key_of
from vectorplug.search.ingest import WINDOW_CHARACTERS, WINDOW_DOCUMENTS, Window, chunks_by_bytes, windows


def of_tokens(*lengths: int) -> Encoded:
    """Texts of 32 bytes a token."""
    return Encoded(MultiVectors.from_list([np.ones((n, 8), np.float32) for n in lengths]))


def test_windows_hold_every_document_in_order() -> None:
    texts = [f"text {i}" for i in range(2 * WINDOW_DOCUMENTS + 5)]
    cut = list(windows(iter(texts), None, None))
    assert [len(window) for window in cut] == [WINDOW_DOCUMENTS, WINDOW_DOCUMENTS, 5]
    assert [text for window in cut for text in window.texts] == texts
    assert [window.start for window in cut] == [0, WINDOW_DOCUMENTS, 2 * WINDOW_DOCUMENTS]
    assert [row.payload["text"] for window in cut for row in window.rows] == texts


def test_long_texts_end_a_window() -> None:
    half = "x" * (WINDOW_CHARACTERS // 2)
    assert [len(window) for window in windows([half, half, "tail"], None, None)] == [2, 1]


def test_a_window_is_read_no_sooner_than_it_is_asked_for() -> None:
    read: list[int] = []

    def texts() -> Iterator[str]:
        for i in range(10 * WINDOW_DOCUMENTS):
            read.append(i)
            yield str(i)

    stream = windows(texts(), None, None)
    next(stream)
    assert len(read) == WINDOW_DOCUMENTS


def test_rows_are_made_of_ids_texts_and_payloads() -> None:
    [window] = windows(["a", "b", "c"], [7, "7", 8], [{"n": 1}, None, {"text": "own"}])
    assert [row.id for row in window.rows] == [7, "7", 8]
    assert [row.payload for row in window.rows] == [{"text": "a", "n": 1}, {"text": "b"}, {"text": "own"}]
    assert len({row.key for row in window.rows}) == 3


def test_without_ids_a_text_names_itself() -> None:
    [window] = windows(["a", "b", "a"], None, None)
    assert [row.id for row in window.rows] == [key_of("a"), key_of("b"), key_of("a")]


@pytest.mark.parametrize(
    ("text", "document_id", "payload", "said"),
    [
        (b"bytes", "x", {}, "the text is a bytes"),
        (None, "x", {}, "the text is a NoneType"),
        ("\ud800", "x", {}, "surrogates"),
        ("text", 1.5, {}, "expected a str or an int"),
        ("text", "x", {"a": object()}, "is of type object"),
        ("text", "x", ["no mapping"], "expected a mapping"),
    ],
)
def test_what_cannot_be_used_is_named(text: Any, document_id: Any, payload: Any, said: str) -> None:
    window = Window()
    window.add(text, document_id, payload)
    [(failed, reason)] = window.failed
    assert failed == document_id
    assert said in reason
    assert not window.rows


def test_a_failure_without_an_id_is_named_by_its_place_in_the_stream() -> None:
    texts: list[Any] = ["ok"] * (WINDOW_DOCUMENTS + 1) + [None]
    *_, last = windows(texts, None, None)
    assert last.failed[0][0] == f"document {WINDOW_DOCUMENTS + 1}"


def test_the_last_of_one_id_stays() -> None:
    [window] = windows(["a", "b", "c"], [1, 2, 1], None)
    assert window.unique().texts == ["b", "c"]
    assert window.without([0, 2]).texts == ["b"]


@pytest.mark.parametrize(
    ("texts", "ids", "payloads", "said"),
    [
        ("one text", None, None, "one str"),
        (["a", "b"], [1], None, "2 texts, 1 ids"),
        (["a"], None, [{}, {}], "1 texts, 2 payloads"),
        (iter(["a", "b"]), [1], None, "ids ended before"),
        (["a"], iter([1, 2]), None, "texts ended before"),
        (iter(["a"]), None, iter([]), "payloads ended before"),
    ],
)
def test_columns_of_different_lengths(texts: Any, ids: Any, payloads: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        list(windows(texts, ids, payloads))


@pytest.mark.parametrize(
    ("lengths", "chunks"),
    [
        ([], []),
        ([1, 1, 1], [(0, 3)]),
        ([2, 2, 1], [(0, 2), (2, 3)]),
        ([4, 1, 3, 1], [(0, 1), (1, 3), (3, 4)]),
        ([100, 100], [(0, 1), (1, 2)]),
    ],
)
def test_chunks_hold_at_most_so_many_bytes_or_one_text(lengths: list[int], chunks: list[tuple[int, int]]) -> None:
    assert [(part.start, part.stop) for part in chunks_by_bytes(of_tokens(*lengths), 4 * 32)] == chunks
