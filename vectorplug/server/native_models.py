"""The models of this server: which are in memory, and the operator's wishes about that."""

import asyncio
from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import Response

from vectorplug.encoded import OUTPUTS
from vectorplug.errors import ModelError
from vectorplug.residency.batcher import BatcherStats
from vectorplug.residency.events import ModelStats
from vectorplug.server.engine import Engine, Served
from vectorplug.server.problems import RefusedError
from vectorplug.server.vendor import answer

__all__ = ["Action", "Residency", "act", "residency"]

Action = Literal["load", "unload", "pin", "unpin"]


class Residency(BaseModel):
    """One model that can be named in a request; `dims` and fingerprints once it was opened.

    `state` is absent, loading, resident, leaving, offloaded or failed. Bytes are those accounted for; the queue is
    what waits for this model.
    """

    id: str
    state: str
    pinned: bool
    leases: int
    device_bytes: int
    host_bytes: int
    dims: dict[str, int] | None
    fingerprint: str | None
    fde_fingerprint: str | None
    queue_texts: int
    queue_tokens: int


async def residency(engine: Engine) -> list[dict[str, Any]]:
    """Every name that is served, as `Residency`; loads nothing."""
    return await _rows(engine, engine.names.served())


async def act(name: str, action: Action, engine: Engine) -> Response:
    """Do it, and answer how the model is afterwards; RefusedError as "conflict" where one in use should leave."""
    wanted = engine.names.wanted(name)
    match action:
        case "load":
            await engine.load(wanted)
        case "unload":
            try:
                await engine.unload(wanted)
            except ModelError as error:
                raise RefusedError("conflict", str(error)) from error
        case "pin" | "unpin":
            await engine.pin(wanted, pinned=action == "pin")
    return answer((await _rows(engine, [name]))[0])


async def _rows(engine: Engine, names: list[str]) -> list[dict[str, Any]]:
    cache, queues = await asyncio.to_thread(engine.stats)
    models = {model.model: model for model in cache.models}
    rows = []
    for name in names:
        key = engine.names.wanted(name).model
        rows.append(_row(name, models.get(key), engine.opened().get(key), queues.get(key)).model_dump())
    return rows


def _row(name: str, model: ModelStats | None, served: Served | None, queue: BatcherStats | None) -> Residency:
    return Residency(
        id=name,
        state=model.state if model else "absent",
        pinned=model.pinned if model else False,
        leases=model.leases if model else 0,
        device_bytes=model.device_bytes if model else 0,
        host_bytes=model.host_bytes if model else 0,
        dims={output: served.dims(output) for output in OUTPUTS} if served else None,
        fingerprint=served.facts.fingerprint if served else None,
        fde_fingerprint=served.fde.fingerprint if served else None,
        queue_texts=queue.queue_texts if queue else 0,
        queue_tokens=queue.queue_tokens if queue else 0,
    )
