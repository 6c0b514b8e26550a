"""Documents as frameworks hold them, a text beside its metadata, to and from a payload."""

from collections.abc import Mapping
from typing import Any

from vectorplug.errors import InputError, StoreError
from vectorplug.search.hits import Id
from vectorplug.search.ingest import TEXT

__all__ = ["document_of", "payload_of"]


def payload_of(text: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """One payload of both, the metadata's fields as they are, so that the database's filters find them."""
    if TEXT in metadata:
        raise InputError(
            f"the metadata {str(dict(metadata))[:80]} has a field {TEXT!r}, in which a store keeps the text: rename it."
        )
    return {TEXT: text, **metadata}


def document_of(document_id: Id, payload: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The text and the metadata of a payload; StoreError where the document was added without its text."""
    metadata = dict(payload)
    text = metadata.pop(TEXT, None)
    if not isinstance(text, str):
        raise StoreError(
            f"document {document_id!r} has no text in its payload field {TEXT!r}: `add` writes it, "
            "`add_encoded` writes the payload that it is given."
        )
    return text, metadata
