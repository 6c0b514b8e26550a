"""Run the server: settings in, checked for what must not be, then uvicorn until SIGTERM."""

import ipaddress
import signal
import socket
import sys

import uvicorn

from vectorplug.errors import ConfigurationError
from vectorplug.residency.cache import ModelCache
from vectorplug.server.app import create_app
from vectorplug.server.auth import Keys
from vectorplug.server.engine import Engine
from vectorplug.server.fdes import fde_of, open_fdes
from vectorplug.server.limits import Limits
from vectorplug.server.names import Names
from vectorplug.server.stored import open_stored
from vectorplug.server.telemetry import configure_logs
from vectorplug.settings import Settings

__all__ = ["keys_of", "serve"]


def serve(settings: Settings, default_model: str) -> None:
    """Serve `default_model`, and what else may be loaded, until SIGTERM or Ctrl-C; running requests are finished.

    Raises ConfigurationError where nobody needs a key and others than this machine could ask, or where a model is to
    have the FDE of another one; for that such models are loaded before anybody is answered.
    """
    keys = keys_of(settings)
    if not keys and not _is_loopback(settings.host):
        raise ConfigurationError(
            f"the server would listen on {settings.host} and let everybody in: give it a key (--api-key, "
            "VECTORPLUG_API_KEYS or --api-key-file), or keep it on this machine with --host 127.0.0.1."
        )
    configure_logs()
    limits = Limits(
        keys=Keys(keys),
        body_bytes=settings.max_body_bytes,
        texts=settings.max_texts,
        request_tokens=settings.max_request_tokens,
        queue_tokens=settings.queue_tokens,
        request_timeout=settings.request_timeout,
        truncate=settings.truncate,
    )
    cache = ModelCache(device=settings.device, dtype=settings.dtype)
    names = Names({default_model: default_model, **settings.allow_models})
    fdes = open_fdes(settings.fde, names)
    for model, fde in fdes.items():
        fde_of(cache.facts(model), fde)
    engine = Engine(cache, names, limits, fdes)
    app = create_app(engine, limits, stored=open_stored(settings.vectors))
    # uvicorn raises the signal that ended it once more, when all is done: that is no failure.
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: sys.exit(0))
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.drain_timeout,
    )


def keys_of(settings: Settings) -> list[str]:
    """The keys of the settings and of the file that they name; ConfigurationError where it cannot be read."""
    keys = [key.get_secret_value() for key in settings.api_keys]
    if settings.api_key_file is not None:
        try:
            lines = settings.api_key_file.read_text("utf-8").splitlines()
        except OSError as error:
            raise ConfigurationError(f"the file of keys cannot be read: {error}.") from error
        found = [line.strip() for line in lines if line.strip()]
        if not found:
            raise ConfigurationError(f"{settings.api_key_file} holds no key, expected one a line.")
        keys += found
    return keys


def _is_loopback(host: str) -> bool:
    """Whether every address of `host` is this machine's own."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError as error:
        raise ConfigurationError(f"there is no address for host {host!r}: {error}.") from error
    return all(ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback for *_, address in found)
