"""`POST /v1/fde`: token vectors in, one vector a text out; no model takes part. And the FDEs that requests ask for."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator
from starlette.responses import Response

from vectorplug.errors import InputError
from vectorplug.models.tokenizing import Role
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera
from vectorplug.muvera.dialects import Dialect
from vectorplug.server.native_vectors import Nested, Packed, Tensors, body_of, vectors_of
from vectorplug.server.payloads import narrowed, respond
from vectorplug.vectorizer import default_fde

__all__ = ["FdeBody", "FdeReply", "FdeRequest", "VectorDtype", "compress", "fold", "muvera_named"]

VectorDtype = Literal["float32", "float16"]

# What one request may make this server hold; a common FDE has 10,240 numbers and its matrices 50,000.
FDE_NUMBERS = 2**20
MATRIX_NUMBERS = 2**21
ANSWER_NUMBERS = 2**27


class FdeParameters(BaseModel):
    """The parameters of a `Muvera`, with its defaults; `dim` is that of the tokens."""

    dialect: Dialect = "fastembed"
    repetitions: int = 20
    ksim: int = 5
    dproj: int | None = 16
    seed: int | None = None
    fill: bool = True
    final_dim: int | None = None
    unit_norm: bool = False


class FdeRequest(BaseModel):
    """Tokens of n texts; `fde` is a fingerprint or parameters, without it the default FDE for tokens of their size."""

    tokens: Nested | Packed | Tensors
    role: Role = "document"
    fde: str | FdeParameters | None = None
    vector_dtype: VectorDtype = "float32"


FdeBody = Annotated[FdeRequest, BeforeValidator(body_of("tokens"))]


class FdeReply(BaseModel):
    """The answer as JSON: one vector a text."""

    fde_fingerprint: str
    fde: list[list[float]]


async def compress(body: FdeRequest, media: str) -> Response:
    """The answer to one request."""

    def made() -> tuple[Muvera, npt.NDArray[Any]]:
        tokens = vectors_of(body.tokens, "tokens")
        muvera = _muvera_of(body.fde, tokens.dim)
        return muvera, fold(muvera, tokens, body.role, body.vector_dtype)

    muvera, vectors = await asyncio.to_thread(made)
    return respond(media, {"fde": vectors}, {"fde_fingerprint": muvera.fingerprint}, {})


def muvera_named(fingerprint: str, texts: int) -> Muvera:
    """The Muvera of a fingerprint; InputError where it is larger than this server makes for so many texts."""
    return _bounded(Muvera.from_fingerprint(fingerprint), texts)


def fold(muvera: Muvera, tokens: MultiVectors, role: Role, dtype: VectorDtype = "float32") -> npt.NDArray[Any]:
    """[n, size] of n texts; InputError for more than this server makes at once, or numbers that overflow."""
    _bounded(muvera, len(tokens))
    encoded = muvera.encode_queries(tokens) if role == "query" else muvera.encode_documents(tokens)
    return narrowed(encoded, dtype)


def _muvera_of(wanted: str | FdeParameters | None, dim: int) -> Muvera:
    match wanted:
        case None:
            return default_fde(dim)
        case str():
            return Muvera.from_fingerprint(wanted)
        case _:
            given: Mapping[str, Any] = wanted.model_dump(exclude_unset=True)
            return Muvera(dim=dim, **given)


def _bounded(muvera: Muvera, texts: int) -> Muvera:
    """The same; InputError where its vectors, or the matrices that make them, are larger than this server holds."""
    block = muvera.dim if muvera.dproj is None else muvera.dproj
    asked = {
        f"an FDE of {FDE_NUMBERS:,} numbers": (muvera.repetitions * block << muvera.ksim, FDE_NUMBERS),
        f"matrices of {MATRIX_NUMBERS:,} numbers": (
            muvera.repetitions * muvera.dim * (muvera.ksim + (muvera.dproj or 0)),
            MATRIX_NUMBERS,
        ),
        f"FDEs of {ANSWER_NUMBERS:,} numbers in all": (muvera.size * texts, ANSWER_NUMBERS),
    }
    for what, (numbers, most) in asked.items():
        if numbers > most:
            raise InputError(f"{muvera.fingerprint} asks for {numbers:,} numbers of {texts} texts: {what} is the most.")
    return muvera
