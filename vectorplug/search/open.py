"""Find the adapter that an URL names."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

from vectorplug.encoded import Output
from vectorplug.errors import ConfigurationError
from vectorplug.search.modes import Mode
from vectorplug.search.store import Store
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["open_store"]


def open_store(
    url: str,
    *,
    collection: str = "docs",
    vectorizer: TextVectorizer | None = None,
    mode: Mode | None = None,
    outputs: Sequence[Output] | None = None,
) -> Store[Any]:
    """Open `edge:FOLDER` (an embedded Qdrant), `memory:`, or what another installed adapter's scheme names.

    `vectorizer` and `mode` may be left out for a collection that exists. ConfigurationError for an unknown scheme
    or an adapter whose database client is not installed.
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
        extra = {"edge": "qdrant"}.get(name, name)
        raise ConfigurationError(
            f"store {url!r} needs the package {error.name!r}: pip install 'vectorplug[{extra}]'."
        ) from error
    store: Store[Any] = adapter(url, collection, vectorizer=vectorizer, mode=mode, outputs=outputs)
    return store
