"""The fits of a collection, in a small collection beside it that has no vectors and no tenants: tenants share a fit."""

from collections.abc import Sequence
from typing import Any

from weaviate.classes.config import ConsistencyLevel
from weaviate.classes.query import Filter

from vectorplug.errors import StoreError, StoreUnavailableError
from vectorplug.search.artefacts import Part, joined, keys_of, parts_of
from vectorplug_weaviate.connection import Connection
from vectorplug_weaviate.layout import Creation

__all__ = ["Fits"]

DESCRIPTION = "vectorplug: the fits of "
# Parts of an answer: 8 MiB of base64.
PARTS_AT_ONCE = 16
_hidden = {"indexFilterable": False, "indexSearchable": False}


class Fits:
    """What is kept beside the collection `name`; an alias of it has to be resolved before."""

    def __init__(
        self, connection: Connection, name: str, creation: Creation, consistency_level: ConsistencyLevel | None
    ) -> None:
        self._connection = connection
        self._creation = creation
        self._level = consistency_level
        self.of(name)

    def of(self, name: str) -> None:
        """The collection's own name, which an alias is not."""
        self._collection, self.name = name, f"{name}_fits"
        handle = self._connection.client.collections.use(self.name)
        self._handle = handle if self._level is None else handle.with_consistency_level(self._level)

    def keep(self, fingerprint: str, data: bytes) -> None:
        """Write a fit, making its place where there is none; again it changes nothing."""
        self._make()
        there = self._parts([part.key for part in parts_of(fingerprint, data)])
        for part in parts_of(fingerprint, data):
            if there.get(part.key) != part:
                self._write(part)

    def read(self, fingerprint: str) -> bytes | None:
        """What was kept; None where it is not there, or not whole."""
        return joined(fingerprint, self._parts) if self._exists() else None

    def drop(self, fingerprint: str) -> None:
        """Remove a fit, if it is there."""
        keys = keys_of(fingerprint, self._parts) if self._exists() else []
        if keys:
            wanted = Filter.by_id().contains_any(keys)
            self._call("Dropping a fit of", lambda: self._handle.data.delete_many(where=wanted))

    def _write(self, part: Part) -> None:
        properties = {"fit": part.fingerprint, "number": part.number, "count": part.count, "data": part.text}
        try:
            self._call("Keeping the fit of", lambda: self._handle.data.insert(properties, uuid=part.key))
        except StoreUnavailableError:
            raise
        except StoreError:
            # It is there, of an attempt whose answer was lost or a damaged one; else this says what is wrong.
            self._call("Keeping the fit of", lambda: self._handle.data.replace(part.key, properties))

    def _make(self) -> None:
        if self._is_ours():
            return
        factor = self._creation.get("replication_factor")
        schema: dict[str, Any] = {
            "class": self.name,
            "description": f"{DESCRIPTION}{self._collection}",
            "vectorizer": "none",
            "vectorIndexType": "flat",
            "properties": [
                *({"name": each, "dataType": ["text"], **_hidden} for each in ("fit", "data")),
                *({"name": each, "dataType": ["int"], "indexFilterable": False} for each in ("number", "count")),
            ],
        }
        if factor is not None:
            schema["replicationConfig"] = {"factor": factor}
        try:
            self._call(
                "Making a place for the fit of", lambda: self._connection.client.collections.create_from_dict(schema)
            )
        except StoreUnavailableError:
            raise
        except StoreError:
            # An attempt whose answer was lost, or another store, may have made it.
            if not self._is_ours():
                raise

    def _is_ours(self) -> bool:
        if not self._exists():
            return False
        config = self._call("Reading", lambda: self._handle.config.get())
        if not (config.description or "").startswith(DESCRIPTION):
            raise StoreError(
                f"a collection {self.name!r} is there in Weaviate and is somebody else's; the fit of collection "
                f"{self._collection!r} would be kept in one of that name: choose another name for the collection. "
                "Nothing was written."
            )
        return True

    def _exists(self) -> bool:
        return bool(self._call("Opening", lambda: self._connection.client.collections.exists(self.name)))

    def _parts(self, keys: Sequence[str]) -> dict[str, Part]:
        found: dict[str, Part] = {}
        for start in range(0, len(keys), PARTS_AT_ONCE):
            some = list(keys[start : start + PARTS_AT_ONCE])
            reply = self._call(
                "Reading the fit of",
                lambda some=some: self._handle.query.fetch_objects(
                    filters=Filter.by_id().contains_any(some), limit=len(some)
                ),
            )
            for each in reply.objects:
                key, said = str(each.uuid), each.properties
                found[key] = Part(key, said["fit"], int(said["number"]), int(said["count"]), said["data"])
        return found

    def _call(self, doing: str, function: Any) -> Any:
        return self._connection.call(f"{doing} collection {self._collection!r}", function)
