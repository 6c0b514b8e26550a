"""Named arrays and a few words about them as one safetensors blob: what travels between a server and its clients."""

import json
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from vectorplug.encoded import Encoded
from vectorplug.errors import InputError
from vectorplug.multivectors import MultiVectors

__all__ = ["Arrays", "arrays_of", "dump", "encoded_of", "parse", "tokens_of"]

Arrays = Mapping[str, npt.NDArray[Any]]

# Here as well as in safetensors.numpy, whose reader knows no bfloat16 and drops the metadata.
DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I8": np.dtype(np.int8),
}


def dump(arrays: Arrays, facts: Mapping[str, str]) -> bytes:
    """The blob; `facts` become its metadata."""
    from safetensors.numpy import save

    return save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, dict(facts))


def parse(data: bytes) -> tuple[dict[str, npt.NDArray[Any]], dict[str, str]]:
    """What `dump` was given; InputError where the bytes are no whole safetensors blob of real numbers."""
    from safetensors import SafetensorError, deserialize

    try:
        entries: Any = deserialize(data)  # type: ignore[no-untyped-call]
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, ValueError) as error:
        raise InputError(f"these bytes are no safetensors blob ({error}).") from error
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in DTYPES:
            raise InputError(f"tensor {name!r} is {entry['dtype']}, expected one of {', '.join(DTYPES)}.")
        arrays[name] = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays, header.get("__metadata__", {})


def arrays_of(encoded: Encoded) -> dict[str, npt.NDArray[Any]]:
    """`tokens.values`, `tokens.offsets`, `tokens.scales` (int8 only), and the other parts under their own names."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    if (tokens := encoded.tokens) is not None:
        arrays |= {"tokens.values": tokens.values, "tokens.offsets": tokens.offsets}
        if tokens.scales is not None:
            arrays["tokens.scales"] = tokens.scales
    for name in ("fde", "dense", "truncated", "token_counts"):
        if (part := getattr(encoded, name)) is not None:
            arrays[name] = part
    return arrays


def encoded_of(arrays: Arrays) -> Encoded:
    """The Encoded that `arrays_of` took apart."""
    rest = {name: arrays.get(name) for name in ("fde", "dense", "truncated", "token_counts")}
    return Encoded(tokens=tokens_of(arrays, "tokens"), **rest)


def tokens_of(arrays: Arrays, name: str) -> MultiVectors | None:
    """`name`.values with their offsets (without: one text) and scales; None where there are no such values."""
    values = arrays.get(f"{name}.values")
    if values is None:
        return None
    offsets = arrays.get(f"{name}.offsets", np.array([0, len(values)] if values.ndim else [0]))
    return MultiVectors(values, offsets, arrays.get(f"{name}.scales"))
