"""What a collection's schema says of its documents; others may extend it at any time."""

from threading import Lock
from typing import Any

from weaviate.classes.config import DataType
from weaviate.collections.classes.config import CollectionConfig

from vectorplug.errors import StoreError
from vectorplug.search.hits import Rows
from vectorplug_weaviate import payload
from vectorplug_weaviate.place import Place
from vectorplug_weaviate.schema import is_walked

__all__ = ["Properties"]


class Properties:
    """The properties of the collection at a place, as they were read last. Several threads may write documents.

    `adopted` says whether its documents are somebody else's, `tokens_are_walked` whether the index of the tokens is
    made to be searched.
    """

    def __init__(self, place: Place) -> None:
        self.types: dict[str, DataType] = {}
        self.adopted = False
        self.tokens_are_walked = False
        self._place = place
        self._searchable = False
        self._adding = Lock()

    def read(self) -> CollectionConfig:
        """Ask the server again."""
        config: CollectionConfig = self._place.call("Reading", self._place.handle.config.get)
        self.types = {prop.name: DataType(prop.data_type) for prop in config.properties}
        self._searchable = any(prop.index_searchable for prop in config.properties)
        self.tokens_are_walked = is_walked(config)
        return config

    def words(self) -> bool:
        """Whether any text is indexed for BM25; it is when the first document had one."""
        if not self._searchable:
            self.read()
        return self._searchable

    def add_missing(self, rows: Rows) -> None:
        """Properties that these documents are the first to have."""
        with self._adding:
            for name, prop in payload.missing(rows.rows, self.types).items():
                self._add(name, prop)

    def _add(self, name: str, prop: Any) -> None:
        try:
            self._place.call("Adding a property to", lambda: self._place.handle.config.add_property(prop))
            self.types[name] = DataType(prop.dataType)
        except StoreError:
            self.read()
            if name not in self.types:  # else another writer was first
                raise
