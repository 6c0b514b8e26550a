"""Arrays on the wire, in and out, without a server."""

import base64
import contextlib
import io
from typing import Any

import msgpack
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorplug.blobs import arrays_of, dump, encoded_of, parse
from vectorplug.encoded import Encoded
from vectorplug.errors import InputError
from vectorplug.multivectors import MultiVectors
from vectorplug.server.native_fde import FdeRequest, fold, muvera_named
from vectorplug.server.native_score import ScoreRequest
from vectorplug.server.native_vectors import Packed, body_of, vectors_of
from vectorplug.server.payloads import JSON, NPY, SAFETENSORS, accepted, narrowed, respond
from vectorplug.server.problems import RefusedError

TOKENS = MultiVectors(np.arange(12, dtype=np.float32).reshape(4, 3) / 10, [0, 1, 4])
COUNTS = np.array([0, 7])


def encoded(dtype: str = "float32") -> Encoded:
    dense = np.array([[1, 2], [3, 4]], np.float32)
    return Encoded(tokens=TOKENS.astype(dtype), dense=dense, truncated=COUNTS, token_counts=COUNTS + 1)


@pytest.mark.parametrize(
    ("header", "media"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("Application/MsgPack", "application/msgpack"),
        ("text/html, application/x-npy", NPY),
        ("application/json;q=0.2, application/vnd.safetensors;q=0.9", SAFETENSORS),
        ("application/json;q=0.2;charset=utf-8,application/msgpack; q=0.1", JSON),
        ("*/*;q=0.1, application/x-npy;q=0.5", NPY),
        ("application/json;q=0, */*", "application/msgpack"),
        ("application/octet-stream", "application/octet-stream"),
    ],
)
def test_accept_chooses_the_form(header: str | None, media: str) -> None:
    assert accepted(header) == media


@pytest.mark.parametrize("header", ["text/html", "application/json;q=0", "application/json;q=often", ",", "*"])
def test_a_form_that_is_not_there_is_refused(header: str) -> None:
    with pytest.raises(RefusedError, match=r"expected one of application/json.*vnd\.safetensors") as caught:
        accepted(header)
    assert caught.value.problem.status == 406


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_accept_is_a_form_or_a_refusal(header: str) -> None:
    with contextlib.suppress(RefusedError):
        assert accepted(header).startswith("application/")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_a_blob_gives_back_what_went_in(dtype: str) -> None:
    before = encoded(dtype)
    arrays, facts = parse(dump(arrays_of(before), {"model": "m"}))
    after = encoded_of(arrays)
    assert facts == {"model": "m"}
    assert after.tokens is not None
    assert before.tokens is not None
    assert after.tokens.dtype == before.tokens.dtype
    for one, other in zip(after.tokens, before.tokens, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(after.dense, before.dense)
    np.testing.assert_array_equal(after.truncated, COUNTS)
    np.testing.assert_array_equal(after.token_counts, COUNTS + 1)
    assert after.fde is None


def test_a_blob_of_no_text_keeps_its_sizes() -> None:
    empty = Encoded(tokens=MultiVectors.from_list([], dim=3), dense=np.empty((0, 5), np.float32))
    after = encoded_of(parse(dump(arrays_of(empty), {}))[0])
    assert after.tokens is not None
    assert after.dense is not None
    assert (len(after), after.tokens.dim, after.dense.shape) == (0, 3, (0, 5))


@settings(deadline=None)
@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_blob_is_an_input_error_or_is_read(place: int, byte: int) -> None:
    whole = dump(arrays_of(encoded()), {"model": "m"})
    damaged = bytearray(whole)
    damaged[place % len(whole)] = byte
    for data in (bytes(damaged), whole[: place % len(whole)]):
        try:
            encoded_of(parse(data)[0])
        except InputError:
            continue


def test_a_tensor_of_no_real_numbers_is_named() -> None:
    with pytest.raises(InputError, match="'flags' is BOOL"):
        parse(dump({"flags": np.array([True])}, {}))


def body_of_response(media: str, dtype: str = "float32") -> bytes:
    response = respond(media, arrays_of(encoded(dtype)), {"model": "m"}, {"x-a": "b"})
    assert response.headers["content-type"] == media
    assert response.headers["x-a"] == "b"
    return bytes(response.body)


def test_json_has_a_list_a_text() -> None:
    answer = orjson.loads(body_of_response(JSON))
    assert [len(text) for text in answer["tokens"]] == [1, 3]
    np.testing.assert_allclose(answer["tokens"][1], TOKENS[1], atol=1e-6)
    assert answer["dense"] == [[1, 2], [3, 4]]
    assert (answer["model"], answer["truncated"], answer["token_counts"]) == ("m", [0, 7], [1, 8])
    assert "token_scales" not in answer
    assert "fde" not in answer


def test_json_of_int8_has_the_scales_beside() -> None:
    answer = orjson.loads(body_of_response(JSON, "int8"))
    for i in range(2):
        values = np.array(answer["tokens"][i]) * np.array(answer["token_scales"][i])[:, None]
        np.testing.assert_allclose(values, TOKENS[i], atol=0.01)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_msgpack_has_little_endian_bytes_and_their_shape(dtype: str) -> None:
    answer = msgpack.unpackb(body_of_response("application/msgpack", dtype))
    assert answer["model"] == "m"

    def array(packed: Any) -> Any:
        return np.frombuffer(packed["data"], np.dtype(packed["dtype"]).newbyteorder("<")).reshape(packed["shape"])

    assert array(answer["tokens"]["offsets"]).tolist() == [0, 1, 4]
    values = array(answer["tokens"]["values"]).astype(np.float32)
    if dtype == "int8":
        values *= array(answer["tokens"]["scales"])[:, None]
    np.testing.assert_allclose(values, TOKENS.values, atol=0.01)
    assert array(answer["dense"]).tolist() == [[1, 2], [3, 4]]


def test_npy_is_the_one_array() -> None:
    only = Encoded(dense=np.ones((2, 2), np.float16), truncated=COUNTS, token_counts=COUNTS)
    file = io.BytesIO(respond(NPY, arrays_of(only), {}, {}).body)
    loaded = np.load(file)
    assert loaded.dtype == np.float16
    assert loaded.tolist() == [[1, 1], [1, 1]]


def test_what_float16_cannot_hold_is_refused() -> None:
    assert narrowed(np.array([65504.0], np.float32), "float16").dtype == np.float16
    with pytest.raises(InputError, match="too large for float16"):
        narrowed(np.array([1e5], np.float32), "float16")


def b64(array: Any) -> str:
    return base64.b64encode(np.asarray(array).tobytes()).decode()


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_base64_becomes_tokens(dtype: str) -> None:
    tokens = TOKENS.astype(dtype)
    scales = None if tokens.scales is None else b64(tokens.scales)
    packed = Packed(values=b64(tokens.values), shape=(4, 3), dtype=dtype, offsets=[0, 1, 4], scales=scales)  # type: ignore[arg-type]
    found = vectors_of(packed, "documents")
    np.testing.assert_allclose(found[1], TOKENS[1], atol=0.01)
    assert found.dtype == tokens.dtype


VALUES = b64(TOKENS.values)


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        ({"values": VALUES[:-4], "shape": (4, 3)}, "45 bytes, expected 48"),
        ({"values": VALUES, "shape": (4, 4)}, "48 bytes, expected 64"),
        ({"values": VALUES, "shape": (10**12, 10**12)}, "48 bytes, expected 4000"),
        ({"values": VALUES[:-1] + "=", "shape": (4, 3)}, "47 bytes, expected 48"),
        ({"values": "é" + VALUES[1:], "shape": (4, 3)}, "no base64"),
        ({"values": VALUES, "shape": (4, 3), "offsets": [0, 5]}, "expected 0 to 4"),
        ({"values": VALUES, "shape": (4, 3), "offsets": [0, 2, 2, 4]}, "document 1 has 0 tokens"),
        ({"values": VALUES, "shape": (4, 3), "offsets": [0, 2**70]}, "documents"),
        ({"values": VALUES, "shape": (4, 3), "offsets": []}, "expected integers"),
        ({"values": VALUES, "shape": (12, 4), "dtype": "int8"}, "scale a token"),
        ({"values": "", "shape": (0, 3)}, "document 0 has 0 tokens"),
        ({"values": "", "shape": (3, 0), "dtype": "int8", "scales": "AAAA"}, "scales: 3 bytes, expected 12"),
        ({"values": b64(np.full((4, 3), np.nan, np.float32)), "shape": (4, 3)}, "NaN or infinity"),
    ],
)
def test_base64_that_is_no_tokens_is_refused(packed: dict[str, Any], said: str) -> None:
    with pytest.raises(RefusedError, match=said) as caught:
        vectors_of(Packed(**packed), "documents")
    assert caught.value.problem.status == 400
    assert (caught.value.problem.param or "").startswith("documents")


@pytest.mark.parametrize(
    "nested",
    [[[[1.0], [1.0, 2.0]]], [[["a"]]], [[[None]]], [[{}]], [1.0], [[]], [[[]]], [[[1e39]]], [[[10**30]]], [[[1]], "a"]],
)
def test_lists_that_are_no_tokens_are_refused(nested: list[Any]) -> None:
    with pytest.raises(RefusedError, match="documents: "):
        vectors_of(nested, "documents")


def test_a_safetensors_body_fills_the_fields() -> None:
    arrays = {
        "query.values": TOKENS[1],
        "documents.values": TOKENS.values,
        "documents.offsets": TOKENS.offsets,
        "candidates": np.array([1, 0]),
    }
    body = ScoreRequest.model_validate(body_of("query", "documents")(dump(arrays, {"top_k": "3", "stored": "a"})))
    assert isinstance(body.query, MultiVectors)
    assert isinstance(body.documents, MultiVectors)
    assert (len(body.query), len(body.documents), body.top_k, body.stored) == (1, 2, 3, "a")
    assert body.candidates == [1, 0]


def test_a_body_that_is_no_safetensors_says_how_json_is_sent() -> None:
    with pytest.raises(RefusedError, match="Content-Type: application/json"):
        body_of("tokens")(b'{"tokens": [[[1.0]]]}')
    with pytest.raises(RefusedError, match="NaN or infinity"):
        body_of("tokens")(dump({"tokens.values": np.full((1, 2), np.inf, np.float32)}, {}))


@pytest.mark.parametrize(
    ("fingerprint", "said"),
    [
        ("muvera1:fastembed:d128:r100000:k10:p16:s42:fill", "an FDE of 1,048,576 numbers"),
        ("muvera1:fastembed:d128:r100000:k10:p16:s42:fill:f64", "an FDE of 1,048,576 numbers"),
        ("muvera1:fastembed:d4096:r1000:k0:p1:s42:fill", "matrices of 2,097,152 numbers"),
        ("muvera1:fastembed:d128:r60:k10:p16:s42:fill", "FDEs of 134,217,728 numbers in all"),
    ],
)
def test_an_fde_too_large_for_a_server_is_refused_before_it_is_made(fingerprint: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        muvera_named(fingerprint, 1000)


def test_an_fde_that_overflows_is_refused() -> None:
    muvera = muvera_named("muvera1:fastembed:d2:r1:k0:identity:s42:fill", 1)
    huge = MultiVectors(np.full((4, 2), 3e38, np.float32), [0, 4])
    with pytest.raises(InputError, match="too large for float32"):
        fold(muvera, huge, "query")


def test_lists_with_a_million_wrong_numbers_make_one_error() -> None:
    body = FdeRequest.model_validate({"tokens": [[["a"] * 1000] * 1000]})
    with pytest.raises(RefusedError, match="expected real numbers"):
        vectors_of(body.tokens, "tokens")
