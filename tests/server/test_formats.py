"""Vectors as bytes and bits: exact where they can be, and a measured loss where not."""

import base64
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from vectorplug import Vectorizer
from vectorplug.server.formats import Dtype, as_base64, as_dtype

VECTOR = np.array([0.5, -0.5, 0.5, -0.5, 0.0, 0.25, -0.25, 0.1], np.float32)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("int8", [64, -64, 64, -64, 0, 32, -32, 13]),
        ("uint8", [192, 64, 192, 64, 128, 160, 96, 141]),
        ("ubinary", [0b10100101]),
        ("binary", [0b10100101 - 128]),
    ],
)
def test_eight_numbers_by_hand(dtype: Dtype, expected: list[int]) -> None:
    assert as_dtype([VECTOR], dtype)[0].tolist() == expected


def test_what_is_too_large_for_the_scale_is_cut_and_does_not_wrap() -> None:
    vector = np.zeros(400, np.float32)
    vector[:2] = 0.7, -0.7
    assert as_dtype([vector], "int8")[0][:2].tolist() == [127, -127]
    assert as_dtype([vector], "uint8")[0][:2].tolist() == [255, 1]


@pytest.mark.parametrize("dtype", ["float", "int8", "uint8", "binary", "ubinary"])
def test_a_row_a_token_keeps_its_shape(dtype: Dtype) -> None:
    rows = np.stack([VECTOR, -VECTOR, VECTOR])
    assert [len(row) for row in as_dtype([rows], dtype)[0]] == [1 if "binary" in dtype else 8] * 3
    np.testing.assert_array_equal(as_dtype([rows], dtype)[0][0], as_dtype([VECTOR], dtype)[0])


def test_base64_is_of_little_endian_bytes() -> None:
    big = VECTOR.astype(">f4")
    one, rows = as_base64([big, np.stack([VECTOR, -VECTOR])])
    assert isinstance(one, str)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(one), "<f4"), VECTOR)
    assert isinstance(rows, list)
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(rows[1]), "<f4"), -VECTOR)


def test_int8_keeps_the_order_of_real_texts(shared_data: Path) -> None:
    folder = shared_data / "cranfield"
    documents = [json.loads(line)["text"] for line in (folder / "corpus.jsonl").read_text().splitlines()[:200]]
    questions = [json.loads(line)["text"] for line in (folder / "queries.jsonl").read_text().splitlines()[:40]]
    vectorizer = Vectorizer("minilm", device="cpu")
    given = vectorizer.encode_document(documents, outputs=["dense"]).dense
    asked = vectorizer.encode_query(questions, outputs=["dense"]).dense
    assert given is not None
    assert asked is not None

    def best(queries: npt.NDArray[np.float32], rows: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        return np.argsort(-(queries @ rows.T), axis=1)[:, :10]

    exact = best(asked, given)
    small = best(*(np.stack(as_dtype(list(rows), "int8")).astype(np.float32) for rows in (asked, given)))
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, small, strict=True)])
    assert kept >= 0.97
