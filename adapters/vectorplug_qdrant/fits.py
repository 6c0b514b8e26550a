"""The fits of a server's collection, in a small collection beside it that has no vectors.

Not in the collection's own metadata, which every node of a cluster agrees on and holds in memory; not among its points,
which are documents.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from qdrant_client import models

from vectorplug.errors import StoreError, StoreUnavailableError
from vectorplug.search.artefacts import Part, joined, keys_of, parts_of
from vectorplug_qdrant.connection import Connection
from vectorplug_qdrant.layout import Creation
from vectorplug_qdrant.patience import READING, WRITING, NotThereError

__all__ = ["FITS", "Fits"]

# In a collection's metadata: the name of the one beside it; in that one's: the name of the collection.
FITS = "vectorplug_fits"
OWNER = "vectorplug_fits_of"
# Parts of an answer: 16 MiB of base64.
PARTS_AT_ONCE = 32


class Fits:
    """What is kept beside the collection of a connection; `name` is where, which an alias of the collection keeps."""

    def __init__(self, connection: Connection, creation: Creation) -> None:
        self.name = f"{connection.name}.fits"
        self._connection = connection
        self._creation = creation

    def opened(self, metadata: Mapping[str, Any] | None) -> None:
        """Take the name from the collection's metadata: it may have been opened by an alias."""
        self.name = (metadata or {}).get(FITS, self.name)

    def keep(self, fingerprint: str, data: bytes) -> None:
        """Write a fit, making its place where there is none; again it changes nothing."""
        self._make()
        for part in parts_of(fingerprint, data):
            payload = {"fit": part.fingerprint, "number": part.number, "count": part.count, "data": part.text}
            point = models.PointStruct(id=part.key, payload=payload, vector={})
            self._ask("Keeping the fit of", partial(self._client.upsert, self.name, [point], wait=True))

    def read(self, fingerprint: str) -> bytes | None:
        """What was kept; None where it is not there, or not whole."""
        try:
            return joined(fingerprint, self._parts)
        except NotThereError:
            return None

    def drop(self, fingerprint: str) -> None:
        """Remove a fit, if it is there."""
        with suppress(NotThereError):
            if keys := keys_of(fingerprint, self._parts):
                points = models.PointIdsList(points=list(keys))
                self._ask("Dropping a fit of", partial(self._client.delete, self.name, points, wait=True))

    @property
    def _client(self) -> Any:
        return self._connection.client

    def _ask(self, doing: str, function: Any, seconds: float = WRITING) -> Any:
        return self._connection.ask(doing, function, seconds=seconds)

    def _make(self) -> None:
        if self._is_ours():
            return
        make = partial(
            self._client.create_collection,
            self.name,
            {},
            shard_number=1,
            replication_factor=self._creation.get("replication_factor"),
            write_consistency_factor=self._creation.get("write_consistency_factor"),
            on_disk_payload=True,
            metadata={OWNER: self._connection.name},
        )
        try:
            self._ask("Making a place for the fit of", make)
        except StoreUnavailableError:
            raise
        except StoreError:
            # An attempt whose answer was lost, or another store, may have made it.
            if not self._is_ours():
                raise

    def _is_ours(self) -> bool:
        try:
            config = self._ask("Reading", partial(self._client.get_collection, self.name)).config
        except NotThereError:
            return False
        if OWNER not in (config.metadata or {}):
            raise StoreError(
                f"a collection {self.name!r} is there at {self._connection.url} and is somebody else's; the fit of "
                f"collection {self._connection.name!r} would be kept in one of that name: choose another name for the "
                "collection. Nothing was written."
            )
        return True

    def _parts(self, keys: Sequence[str]) -> dict[str, Part]:
        found: dict[str, Part] = {}
        for start in range(0, len(keys), PARTS_AT_ONCE):
            read = partial(
                self._client.retrieve, self.name, list(keys[start : start + PARTS_AT_ONCE]), with_payload=True
            )
            for record in self._ask("Reading the fit of", read, READING):
                key, said = str(record.id), record.payload or {}
                found[key] = Part(key, said["fit"], said["number"], said["count"], said["data"])
        return found
