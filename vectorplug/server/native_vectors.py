"""Token vectors that a request brings: nested lists, base64 of an array, or tensors of a safetensors body."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field, InstanceOf, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from vectorplug.blobs import parse, tokens_of
from vectorplug.errors import InputError
from vectorplug.multivectors import MultiVectors
from vectorplug.server.payloads import BINARY, SAFETENSORS
from vectorplug.server.problems import RefusedError

__all__ = ["SAFETENSORS_BODY", "Nested", "Packed", "Tensors", "body_of", "nested_schema", "vectors_of"]

# For the OpenAPI document, beside the JSON that the model of the body describes.
SAFETENSORS_BODY: dict[str, Any] = {"requestBody": {"content": {SAFETENSORS: BINARY}}}
NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 1}


def nested_schema(depth: int) -> dict[str, Any]:
    """The JSON schema of lists of numbers, so many levels deep."""
    schema: dict[str, Any] = NUMBERS
    for _ in range(depth - 1):
        schema = {"type": "array", "items": schema, "minItems": 1}
    return schema


# Lists of numbers are checked by NumPy: pydantic would tell of each wrong number of millions.
Nested = Annotated[list[Any], Field(min_length=1), WithJsonSchema(nested_schema(3))]
# What `body_of` has read out of a safetensors body.
Tensors = SkipJsonSchema[InstanceOf[MultiVectors]]


class Packed(BaseModel):
    """One array of tokens of all texts: base64 of its little-endian bytes.

    `offsets` says where each text begins, and at last where the last one ends; without them there is one text.
    int8 values have one float32 scale a token.
    """

    values: str
    shape: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]]
    dtype: Literal["float32", "float16", "int8"] = "float32"
    offsets: Annotated[list[int], Field(fail_fast=True)] | None = None
    scales: str | None = None

    def unpacked(self, param: str) -> MultiVectors:
        """The tokens; RefusedError where the bytes are not those of the shape."""
        tokens, dim = self.shape
        values = _array(self.values, self.dtype, tokens * dim, f"{param}.values").reshape(tokens, dim)
        scales = None if self.scales is None else _array(self.scales, "float32", tokens, f"{param}.scales")
        return MultiVectors(values, [0, tokens] if self.offsets is None else self.offsets, scales)


def vectors_of(given: Packed | MultiVectors | Sequence[Any], param: str) -> MultiVectors:
    """Tokens of n texts, checked; RefusedError that names the field `param`."""
    try:
        if isinstance(given, Packed):
            return given.unpacked(param)
        return given if isinstance(given, MultiVectors) else MultiVectors.from_list(given)
    except (InputError, OverflowError) as error:
        raise RefusedError("invalid", f"{param}: {error}", param=param) from error


def body_of(*names: str) -> Callable[[Any], Any]:
    """A reader of bodies: of a safetensors blob, `NAME.values` (with .offsets, .scales) become the field NAME.

    Its metadata are fields, too, and so is the tensor `candidates`. What is no bytes is left as it is.
    """

    def read(body: Any) -> Any:
        if not isinstance(body, bytes):
            return body
        try:
            arrays, facts = parse(body)
            tokens = {name: found for name in names if (found := tokens_of(arrays, name)) is not None}
        except InputError as error:
            raise RefusedError(
                "invalid", f"the body is read as {SAFETENSORS}, for JSON send Content-Type: application/json: {error}"
            ) from error
        candidates = {"candidates": arrays["candidates"].tolist()} if "candidates" in arrays else {}
        return {**facts, **candidates, **tokens}

    return read


def _array(text: str, dtype: str, count: int, param: str) -> npt.NDArray[Any]:
    """`count` numbers out of base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError("invalid", f"{param}: this is no base64 ({error}).", param=param) from error
    expected = count * np.dtype(dtype).itemsize
    if len(data) != expected:
        raise RefusedError(
            "invalid",
            f"{param}: {len(data)} bytes, expected {expected} for the {count} {dtype} numbers of the shape.",
            param=param,
        )
    return np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).astype(dtype, copy=False)
