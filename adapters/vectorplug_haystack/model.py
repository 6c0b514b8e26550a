"""The model of a component: named when the pipeline is written, loaded when it is warmed up."""

import threading
from collections.abc import Sequence
from typing import Any, Self
from weakref import WeakValueDictionary

from haystack import Document, default_from_dict, default_to_dict
from haystack.utils import Secret

from vectorplug.errors import InputError
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug.vectorizer import Vectorizer

__all__ = ["ModelUser", "texts_of", "vectorizer_of"]

_lock = threading.Lock()
_loaded: WeakValueDictionary[tuple[str | None, ...], TextVectorizer] = WeakValueDictionary()


def vectorizer_of(model: str, server_url: str | None, api_key: Secret | None) -> TextVectorizer:
    """The model in this process, or in the `vectorplug serve` at `server_url`; one for all who name the same.

    It leaves memory with the last of them.
    """
    key = api_key.resolve_value() if api_key is not None else None
    with _lock:
        there = _loaded.get((model, server_url, key))
        if there is not None:
            return there
        made: TextVectorizer = (
            Vectorizer(model) if server_url is None else Vectorizer.remote(server_url, model, api_key=key)
        )
        _loaded[model, server_url, key] = made
        return made


class ModelUser:
    """What the components share that run a model and know no store."""

    def __init__(self, model: str, *, server_url: str | None = None, api_key: Secret | None = None) -> None:
        self.model = model
        self.server_url = server_url
        self.api_key = api_key
        self._vectorizer: TextVectorizer | None = None

    @property
    def vectorizer(self) -> TextVectorizer:
        """The model, loaded at first use."""
        if self._vectorizer is None:
            self._vectorizer = vectorizer_of(self.model, self.server_url, self.api_key)
        return self._vectorizer

    def warm_up(self) -> None:
        """Load the model."""
        _ = self.vectorizer

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` makes the same component of."""
        return default_to_dict(self, model=self.model, server_url=self.server_url, api_key=self.api_key)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` described."""
        return default_from_dict(cls, data)


def texts_of(documents: Sequence[Document]) -> list[str]:
    """The documents' contents; InputError for one that has none."""
    for document in documents:
        if document.content is None:
            raise InputError(f"document {document.id!r} has no text: its content is None, expected a str.")
    return [document.content or "" for document in documents]
