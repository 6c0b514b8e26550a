"""`POST /v1/fde`: token vectors in, one vector a text out; no model takes part. And the FDEs that requests ask for.

`GET /v1/fits/...` gives a fit, with which a client has the same FDE.
"""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator
from starlette.responses import Response

from vectorplug.compressor import Compressor, FittedCompressor, family_of
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.models.tokenizing import Role
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera
from vectorplug.muvera.dialects import Dialect
from vectorplug.server.engine import Engine
from vectorplug.server.native_vectors import Nested, Packed, Tensors, body_of, vectors_of
from vectorplug.server.payloads import SAFETENSORS, narrowed, respond
from vectorplug.server.problems import RefusedError
from vectorplug.vectorizer import default_fde

__all__ = ["FdeBody", "FdeReply", "FdeRequest", "VectorDtype", "compress", "fit", "fold", "muvera_named"]

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
    """Tokens of n texts; `fde` is a fingerprint or parameters.

    Without it that of the server's default model, for tokens of another size the default FDE.
    """

    tokens: Nested | Packed | Tensors
    role: Role = "document"
    fde: str | FdeParameters | None = None
    vector_dtype: VectorDtype = "float32"


FdeBody = Annotated[FdeRequest, BeforeValidator(body_of("tokens"))]


class FdeReply(BaseModel):
    """The answer as JSON: one vector a text."""

    fde_fingerprint: str
    fde: list[list[float]]


async def compress(body: FdeRequest, engine: Engine, media: str) -> Response:
    """The answer to one request."""

    def made() -> tuple[Compressor, npt.NDArray[Any]]:
        tokens = vectors_of(body.tokens, "tokens")
        fde = _fde_of(body.fde, tokens.dim, engine)
        return fde, fold(fde, tokens, body.role, body.vector_dtype)

    fde, vectors = await asyncio.to_thread(made)
    return respond(media, {"fde": vectors}, {"fde_fingerprint": fde.fingerprint}, {})


def fit(fingerprint: str, engine: Engine) -> Response:
    """The file of a fit that a model of this server has; RefusedError as "not_found" for any other."""
    found = engine.fit(fingerprint)
    if not isinstance(found, FittedCompressor):
        raise RefusedError("not_found", f"{fingerprint} is no fit of this server: GET /v1/models names those it has.")
    return Response(found.to_bytes(), media_type=SAFETENSORS)


def muvera_named(fingerprint: str, texts: int) -> Muvera:
    """The Muvera of a fingerprint; InputError where it is larger than this server makes for so many texts."""
    return _bounded(_muvera(fingerprint), texts)


def fold(fde: Compressor, tokens: MultiVectors, role: Role, dtype: VectorDtype = "float32") -> npt.NDArray[Any]:
    """[n, size] of n texts; InputError for more than this server makes at once, or numbers that overflow."""
    if isinstance(fde, Muvera):
        _bounded(fde, len(tokens))
    encoded = fde.encode_queries(tokens) if role == "query" else fde.encode_documents(tokens)
    return narrowed(encoded, dtype)


def _fde_of(wanted: str | FdeParameters | None, dim: int, engine: Engine) -> Compressor:
    match wanted:
        case None:
            return engine.fde_for(dim) or default_fde(dim)
        case str():
            return engine.fit(wanted) or _muvera(wanted)
        case _:
            given: Mapping[str, Any] = wanted.model_dump(exclude_unset=True)
            return Muvera(dim=dim, **given)


def _muvera(fingerprint: str) -> Muvera:
    if family_of(fingerprint) == "lemur":
        raise ConfigurationError(
            f"{fingerprint} is a fit, and not one that this server has for the model: leave fde out for the FDE it has "
            "(GET /v1/models names it), or start the server with --fde and that fit's file."
        )
    return Muvera.from_fingerprint(fingerprint)


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
