"""Our server as its clients meet it: on a real port of this machine, in a thread of the tests' process."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from bounds import bounds
from fastapi import FastAPI

from vectorplug.multivectors import MultiVectors
from vectorplug.residency.cache import ModelCache
from vectorplug.server.app import create_app
from vectorplug.server.engine import Engine
from vectorplug.server.fdes import open_fdes
from vectorplug.server.names import Names

DEADLINE = 60


@dataclass(frozen=True)
class Running:
    """`url` has no slash at its end; `app` is what runs there."""

    url: str
    port: int
    app: FastAPI


@contextmanager
def serving(
    models: Mapping[str, str],
    *,
    keys: tuple[str, ...] = (),
    cache: ModelCache | None = None,
    stored: Mapping[str, MultiVectors] | None = None,
    fdes: Mapping[str, str] | None = None,
    port: int = 0,
    wait: bool = True,
    **asked: Any,
) -> Iterator[Running]:
    """A server of `models` (the first is the default), stopped, with its threads, at the end of the block.

    The default model is loaded already, unless `wait` is False. `fdes` are those of models, as of `--fde`; `asked`
    are fields of Limits.
    """
    limits = bounds(*keys, **asked)
    names = Names(models)
    cache = cache or ModelCache(device="cpu", dtype="float32")
    engine = Engine(cache, names, limits, open_fdes(fdes or {}, names))
    app = create_app(engine, limits, stored=stored)
    listening = socket.create_server(("127.0.0.1", port))
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listening],), name="server")
    thread.start()
    try:
        until = time.monotonic() + DEADLINE
        while (wait and app.state.readiness.reason is not None) or not server.started:
            assert time.monotonic() < until, app.state.readiness.reason
            time.sleep(0.02)
        yield Running(f"http://127.0.0.1:{port}", port, app)
    finally:
        server.should_exit = True
        thread.join(DEADLINE)
        listening.close()
        assert not thread.is_alive()
