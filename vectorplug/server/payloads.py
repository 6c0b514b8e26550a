"""Arrays as an answer: JSON, msgpack, one raw .npy or one safetensors blob, as the client's `Accept` says."""

import io
import itertools
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
from starlette.responses import Response

from vectorplug.blobs import Arrays, dump, tokens_of
from vectorplug.errors import InputError
from vectorplug.server.problems import RefusedError
from vectorplug.server.vendor import answer

__all__ = ["CONTENT", "FORMAT", "JSON", "NPY", "SAFETENSORS", "accepted", "narrowed", "respond"]

FORMAT = "vectorplug.encoded/1"
JSON = "application/json"
MSGPACK = "application/msgpack"
NPY = "application/x-npy"
SAFETENSORS = "application/vnd.safetensors"
# The first of equal weight wins.
MEDIA = (JSON, MSGPACK, NPY, SAFETENSORS, "application/octet-stream")
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
# For the OpenAPI document: the other forms of an answer whose JSON has a model.
CONTENT: dict[int | str, dict[str, Any]] = {200: {"content": dict.fromkeys((MSGPACK, NPY, SAFETENSORS), BINARY)}}


def accepted(header: str | None) -> str:
    """The media type of the answer to an `Accept` header; RefusedError as "not_acceptable" for others."""
    weights: dict[str, float] = {}
    for part in (header or JSON).split(","):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weights[name] = next((_weight(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
    ranges = ("*/*", "application/*")
    known = {name: next((weights[k] for k in (name, *ranges[::-1]) if k in weights), 0.0) for name in MEDIA}
    best = max(MEDIA, key=lambda name: known[name])
    if known[best] <= 0:
        raise RefusedError("not_acceptable", f"Accept is {header!r}, expected one of {', '.join(MEDIA)}.")
    return best


def respond(media: str, arrays: Arrays, facts: Mapping[str, str], headers: Mapping[str, str]) -> Response:
    """The answer as `media`: `arrays` by dotted names as in `blobs.arrays_of`, `facts` beside them."""
    response = answer(_json(arrays, facts)) if media == JSON else Response(_binary(media, arrays, facts))
    response.headers.update({**headers, "content-type": media})
    return response


def narrowed(vectors: npt.NDArray[Any], dtype: str) -> npt.NDArray[Any]:
    """The vectors in float32 or float16; InputError where a number is too large for it."""
    with np.errstate(over="ignore"):
        narrow = vectors.astype(dtype, copy=False)
    if not np.isfinite(narrow).all():
        raise InputError(f"the vectors hold numbers that are too large for {dtype}: bring the tokens to unit norm.")
    return narrow


def _binary(media: str, arrays: Arrays, facts: Mapping[str, str]) -> bytes:
    match media:
        case "application/msgpack":
            packed: bytes = msgpack.packb(_nested(arrays, facts))
            return packed
        case "application/x-npy":
            (only,) = (array for name, array in arrays.items() if name in ("tokens.values", "fde", "dense"))
            file = io.BytesIO()
            np.save(file, only)
            return file.getvalue()
        case _:
            return dump(arrays, {**facts, "format": FORMAT})


def _nested(arrays: Arrays, facts: Mapping[str, str]) -> dict[str, Any]:
    """Facts, and each array as its dtype, shape and little-endian bytes; `a.b` stands in the map `a`."""
    nested: dict[str, Any] = dict(facts)
    for name, array in arrays.items():
        outer, _, inner = name.partition(".")
        little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
        packed = {"dtype": array.dtype.name, "shape": array.shape, "data": little.tobytes()}
        if inner:
            nested.setdefault(outer, {})[inner] = packed
        else:
            nested[outer] = packed
    return nested


def _json(arrays: Arrays, facts: Mapping[str, str]) -> dict[str, Any]:
    """Facts and lists; tokens one list a text, and beside int8 ones the list of their scales."""
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items() if "." not in name}
    if (tokens := tokens_of(arrays, "tokens")) is None:
        return {**facts, **whole}
    ends = tokens.offsets.tolist()
    spans = [slice(start, stop) for start, stop in itertools.pairwise(ends)]
    lists = {"tokens": [tokens.values[span] for span in spans]}
    if tokens.scales is not None:
        lists["token_scales"] = [tokens.scales[span] for span in spans]
    return {**facts, **lists, **whole}


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
