"""`POST /v1/encode`: texts in; tokens, FDE and dense vectors out of one forward pass."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field
from starlette.responses import Response

from vectorplug.blobs import arrays_of
from vectorplug.compressor import Compressor
from vectorplug.encoded import OUTPUTS, Encoded, Output
from vectorplug.models.options import check_options, shaped
from vectorplug.models.tokenizing import Role
from vectorplug.server.engine import Engine, Served
from vectorplug.server.names import Wanted
from vectorplug.server.native_fde import VectorDtype, fold, muvera_named
from vectorplug.server.payloads import NPY, narrowed, respond
from vectorplug.server.problems import RefusedError

__all__ = ["EncodeReply", "EncodeRequest", "encode"]


class EncodeRequest(BaseModel):
    """Texts, and what to make of them.

    `role` is "document" and `outputs` are all three unless the request or its model's name says otherwise. `fde` is
    the fingerprint of a `Muvera`; without it the FDE that the server has for the model. `dimensions`, `pool_factor` and
    `token_dtype` shape what is returned, not the FDE. Without `truncate` a text that the model would cut is refused.
    """

    model: str | None = None
    input: str | Annotated[list[str], Field(fail_fast=True)]
    role: Role | None = None
    outputs: Annotated[list[Output], Field(min_length=1, max_length=len(OUTPUTS))] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None
    pool_factor: Annotated[float, Field(ge=1)] | None = None
    token_dtype: Literal["float32", "float16", "int8"] = "float32"
    vector_dtype: VectorDtype = "float32"
    fde: str | None = None
    truncate: bool = True


class EncodeReply(BaseModel):
    """The answer as JSON, in the order of the texts; what was not asked for is not there.

    `tokens` is one list of vectors a text; int8 ones have `token_scales`, one a token. `truncated` are the tokens of
    each text that were cut off, `token_counts` those that the model read.
    """

    model: str
    fingerprint: str
    fde_fingerprint: str | None = None
    tokens: list[list[list[float]]] | None = None
    token_scales: list[list[float]] | None = None
    fde: list[list[float]] | None = None
    dense: list[list[float]] | None = None
    truncated: list[int]
    token_counts: list[int]


async def encode(body: EncodeRequest, engine: Engine, media: str, max_texts: int) -> Response:
    """The answer to one request."""
    wanted = engine.names.wanted(body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    outputs, role = _outputs(body, wanted), _role(body, wanted)
    _check_npy(media, outputs, len(texts), body.token_dtype)
    served = await engine.open(wanted)
    fde = served.fde
    if "fde" in outputs and body.fde is not None and body.fde != fde.fingerprint:
        fde = muvera_named(body.fde, len(texts))
    if fde is served.fde:
        encoded = await engine.encode(
            wanted,
            texts,
            role,
            outputs,
            dimensions=body.dimensions,
            pool_factor=body.pool_factor,
            token_dtype=body.token_dtype,
            truncate=body.truncate,
        )
    else:
        check_options({o: served.dims(o) for o in outputs if o != "fde"}, body.dimensions, body.pool_factor)
        # The FDE is folded from the whole tokens, as the batcher does it with its own.
        needed: list[Output] = ["tokens", *(o for o in outputs if o == "dense")]
        whole = await engine.encode(wanted, texts, role, needed, truncate=body.truncate)
        encoded = await asyncio.to_thread(_folded, whole, fde, role, outputs, body)
    facts = {"model": _shown(body.model or engine.names.default, served), "fingerprint": served.facts.fingerprint}
    if "fde" in outputs:
        facts["fde_fingerprint"] = fde.fingerprint
    arrays = arrays_of(encoded)
    arrays |= {name: narrowed(arrays[name], body.vector_dtype) for name in ("fde", "dense") if name in arrays}
    truncated = str(arrays["truncated"].sum())
    return respond(
        media, arrays, facts, {"x-vectorplug-truncated": truncated, "x-vectorplug-max-texts": str(max_texts)}
    )


def _folded(whole: Encoded, fde: Compressor, role: Role, outputs: Sequence[Output], body: EncodeRequest) -> Encoded:
    assert whole.tokens is not None
    kept = replace(whole, tokens=whole.tokens if "tokens" in outputs else None, fde=fold(fde, whole.tokens, role))
    return shaped(kept, body.dimensions, body.pool_factor, body.token_dtype)


def _outputs(body: EncodeRequest, wanted: Wanted) -> list[Output]:
    """What is asked for, each once, by the fields or by the model's name."""
    asked = list(dict.fromkeys(body.outputs or ()))
    if wanted.output is not None and asked not in ([], [wanted.output]):
        raise RefusedError(
            "invalid",
            f"the model's name asks for {wanted.output}, outputs for {asked}: leave one out.",
            param="outputs",
        )
    return asked or ([wanted.output] if wanted.output else list(OUTPUTS))


def _role(body: EncodeRequest, wanted: Wanted) -> Role:
    if wanted.role is not None and body.role not in (None, wanted.role):
        raise RefusedError(
            "invalid", f"the model's name says {wanted.role}, role says {body.role}: leave one out.", param="role"
        )
    return body.role or wanted.role or "document"


def _check_npy(media: str, outputs: Sequence[Output], texts: int, token_dtype: str) -> None:
    """RefusedError where the answer is no single rectangular array."""
    if media != NPY:
        return
    if len(outputs) > 1:
        fix = f'.npy holds one array, this request asks for {", ".join(outputs)}: send outputs: ["dense"], say'
    elif outputs == ["tokens"] and texts != 1:
        fix = f"tokens of {texts} texts are no rectangular array: send one text"
    elif outputs == ["tokens"] and token_dtype == "int8":
        fix = '.npy has no place for the scales of int8 tokens: send token_dtype: "float16"'
    else:
        return
    raise RefusedError("not_acceptable", f"{fix}, or Accept: application/vnd.safetensors.")


def _shown(asked: str, served: Served) -> str:
    """The name that loads the same model elsewhere; where that is a folder of this machine, the name asked for."""
    return asked if Path(served.facts.name).is_absolute() else served.facts.name
