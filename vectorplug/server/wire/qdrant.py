"""Qdrant's server-side inference: one POST with the texts of all points, or of all parts of a query."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy.typing as npt
from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from starlette.requests import Request
from starlette.responses import Response

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import InputError
from vectorplug.models.options import check_options, shaped
from vectorplug.models.tokenizing import Role
from vectorplug.server.engine import Engine, counts
from vectorplug.server.held import held_engine
from vectorplug.server.names import Wanted
from vectorplug.server.problems import Problem
from vectorplug.server.vendor import Vendor, answer, router_of

__all__ = ["VENDOR", "InferenceRequest", "infer", "router"]

# Qdrant checks both before it asks us, so nobody else would.
MAX_VECTOR = 65_536
MULTI_VECTOR_BELOW = 1_048_576


def error_body(problem: Problem, _: str) -> dict[str, Any]:
    """`{"error": message}`, which Qdrant reads out of a 400 and passes on."""
    return {"error": problem.message}


# A name that is not served is the user's mistake, and only of a 400 does Qdrant pass on the bare message.
VENDOR = Vendor(name="qdrant", body=error_body, statuses={"model_not_found": 400}, key_in_body="token")
router = router_of(VENDOR)


class Options(BaseModel):
    """What a `Document` may ask beside its model."""

    model_config = ConfigDict(extra="forbid")

    dimensions: Annotated[int, Field(ge=1)] | None = None
    """Keep the first numbers of each token, or of the dense vector, at unit norm."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        """Names what there is not: a setting that was ignored would show in nothing but worse results."""
        if isinstance(value, dict) and (unknown := sorted(set(value) - set(cls.model_fields))):
            raise PydanticCustomError(
                "unknown_option",
                "there is no option {unknown}, expected {known}",
                {"unknown": ", ".join(map(repr, unknown)), "known": ", ".join(map(repr, cls.model_fields))},
            )
        return value


class InferenceInput(BaseModel):
    """One `Document`: a text, and the model that names which of its vectors is wanted."""

    data_type: Literal["text"]
    data: str
    model: str
    options: Options | None = None

    @field_validator("data_type", mode="before")
    @classmethod
    def _a_text(cls, value: Any) -> Any:
        if value != "text":
            raise PydanticCustomError(
                "not_a_text",
                "data_type is {given}, and texts are all that is read here: send models.Document",
                {"given": repr(value)},
            )
        return value


class InferenceRequest(BaseModel):
    """What Qdrant sends: `inference` is "update" for points that are stored and "search" for queries."""

    inputs: list[InferenceInput]
    inference: Literal["update", "search"] | None = None
    token: str | None = None


class ModelUsage(BaseModel):
    """Tokens as the model read them."""

    tokens: int


class Usage(BaseModel):
    """By the names of the request; a text that stands under several was read once and counts under each."""

    models: dict[str, ModelUsage]


class InferenceAnswer(BaseModel):
    """One vector an input, in order: numbers, or rows of them, one a token."""

    embeddings: list[list[float] | list[list[float]]]
    usage: Usage


class Read(NamedTuple):
    """What a model reads: equal for inputs that share a forward pass."""

    model: str
    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One input, understood; `name` is the model as it was asked for."""

    name: str
    read: Read
    output: Output
    dimensions: int | None


@router.post("/infer", response_model=InferenceAnswer)
async def inference(
    body: InferenceRequest, request: Request, engine: Annotated[Engine, Depends(held_engine)]
) -> Response:
    """The vectors of each input; of one text, tokens, FDE and dense come from one forward pass."""
    return await infer(body, engine, request.app.state.limits.texts)


async def infer(body: InferenceRequest, engine: Engine, most: int) -> Response:
    """The answer to a request of at most `most` different texts."""
    asks = await _understood(body, engine)
    outputs: dict[Read, set[Output]] = {}
    for ask in asks:
        outputs.setdefault(ask.read, set()).add(ask.output)
    if len(outputs) > most:
        raise InputError(f"{len(outputs)} different texts came at once, this server takes {most}: send fewer points.")
    encoded = await _encoded(outputs, engine)
    embeddings = await asyncio.to_thread(lambda: [_vector(ask, encoded[ask.read]) for ask in asks])

    sums = {read: counts(one) for read, one in encoded.items()}
    tokens: Counter[str] = Counter()
    for name, read in {(ask.name, ask.read) for ask in asks}:
        tokens[name] += sums[read][0]
    usage = {"models": {name: {"tokens": count} for name, count in tokens.items()}}
    return answer({"embeddings": embeddings, "usage": usage}, truncated=sum(cut for _, cut in sums.values()))


async def _understood(body: InferenceRequest, engine: Engine) -> list[Ask]:
    """What each input asks for; raises all that can be wrong before anything is encoded."""
    named = [(given, engine.names.wanted(given.model)) for given in body.inputs]
    asks = []
    for given, wanted in named:
        served = await engine.open(wanted)
        output = wanted.output or ("tokens" if served.facts.is_multi_vector else "dense")
        role = wanted.role or ("query" if body.inference == "search" else "document")
        dimensions = given.options.dimensions if given.options else None
        if dimensions is not None and output == "fde":
            raise InputError(f"{given.model!r} is an FDE, which has one size: leave options.dimensions out.")
        check_options({output: served.dims(output)}, dimensions, None)
        asks.append(Ask(given.model, Read(wanted.model, role, given.data), output, dimensions))
    return asks


async def _encoded(outputs: Mapping[Read, Set[Output]], engine: Engine) -> dict[Read, Encoded]:
    """One Encoded a text; texts of which the same is wanted go together, and all that go at once share batches."""
    groups: dict[tuple[str, Role, frozenset[Output]], list[Read]] = {}
    for read, wanted in outputs.items():
        groups.setdefault((read.model, read.role, frozenset(wanted)), []).append(read)
    running = [
        asyncio.ensure_future(
            engine.encode(Wanted(model, None, None), [read.text for read in reads], role, sorted(wanted))
        )
        for (model, role, wanted), reads in groups.items()
    ]
    try:
        parts = await asyncio.gather(*running)
    finally:  # where one fails, the others give up their places
        for call in running:
            call.cancel()
    return {
        read: part[row : row + 1]
        for reads, part in zip(groups.values(), parts, strict=True)
        for row, read in enumerate(reads)
    }


def _vector(ask: Ask, encoded: Encoded) -> npt.NDArray[Any]:
    if ask.dimensions is not None:
        encoded = shaped(encoded, ask.dimensions, None, "float32")
    vector: npt.NDArray[Any] = getattr(encoded, ask.output)[0]
    _check_size(ask.name, vector.shape)
    return vector


def _check_size(name: str, shape: tuple[int, ...]) -> None:
    """InputError for a vector that Qdrant cannot store."""
    if len(shape) == 1 and shape[0] > MAX_VECTOR:
        raise InputError(
            f"{name!r} has {shape[0]:,} numbers and Qdrant's vectors have at most {MAX_VECTOR:,}: use its tokens."
        )
    if len(shape) == 2 and shape[0] * shape[1] >= MULTI_VECTOR_BELOW:
        raise InputError(
            f"a text has {shape[0]:,} tokens of {shape[1]:,} numbers in {name!r} and Qdrant's multi-vectors hold "
            f'fewer than {MULTI_VECTOR_BELOW:,} numbers: split the text, or set options={{"dimensions": '
            f"{(MULTI_VECTOR_BELOW - 1) // shape[0]}}} if the model is trained for fewer."
        )
