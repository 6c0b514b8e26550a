"""Find the adapter that an URL names."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from vectorplug.encoded import Output
from vectorplug.errors import ConfigurationError
from vectorplug.search.config import IndexConfig
from vectorplug.search.modes import Mode
from vectorplug.search.store import Store
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug.settings import settings

__all__ = ["open_store"]


def open_store(
    url: str,
    *,
    collection: str = "docs",
    vectorizer: TextVectorizer | None = None,
    mode: Mode | None = None,
    outputs: Sequence[Output] | None = None,
    config: IndexConfig | None = None,
) -> Store[Any]:
    """Open `edge:FOLDER` (an embedded Qdrant), `qdrant+http://HOST:6333` (a server), `memory:`, or another adapter's.

    `vectorizer` and `mode` may be left out for a collection that exists; a `config` brings both for a new one. A
    server's API key is VECTORPLUG_STORE_API_KEY. ConfigurationError for an unknown scheme or an adapter whose
    database client is not installed.
    """
    adapters = {point.name: point for point in entry_points(group="vectorplug.adapters")}
    scheme, colon, _ = url.partition(":")
    name = scheme.partition("+")[0]
    if not colon or name not in adapters:
        raise ConfigurationError(
            f"store {url!r} has no known scheme; expected one of "
            f"{', '.join(f'{known}:...' for known in sorted(adapters))} (edge:FOLDER is a folder on this machine)."
        )
    try:
        adapter = adapters[name].load()
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"store {url!r} needs the package {error.name!r}: pip install 'vectorplug[{name}]'."
        ) from error
    key = settings().store_api_key
    more: dict[str, Any] = {"api_key": key.get_secret_value()} if key is not None and "+" in scheme else {}
    if config is not None:
        more["config"] = config
    store: Store[Any] = adapter(url, collection, vectorizer=vectorizer, mode=mode, outputs=outputs, **more)
    return store
