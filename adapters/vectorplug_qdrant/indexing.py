"""A server's indexing waits while much is written, and goes on afterwards, also after a crash in between."""

import logging
import threading

from qdrant_client import models

from vectorplug.errors import StoreError
from vectorplug_qdrant.connection import Connection
from vectorplug_qdrant.patience import CLOSING, READING

__all__ = ["BULK_BYTES", "Indexing"]

log = logging.getLogger("vectorplug")

# Vectors that one `add` writes before indexing waits. By itself the optimizer starts at some 10 MB, and then builds
# the graph of a growing segment again and again; a few documents more are better indexed as they come.
BULK_BYTES = 64 * 2**20
# The collection's own threshold, kept in its metadata from before indexing is switched off until it is on again.
KEPT = "vectorplug_indexing_threshold"


class Indexing:
    """Whether a collection is indexed right now; several threads may write to it meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # Who writes while another thread pauses waits until it is paused.
        self._lock = threading.Lock()
        self._paused = False
        self._unpaused_bytes = 0

    def opened(self, config: models.CollectionConfig) -> None:
        """Have it go on where somebody paused it and is no more."""
        if _is_paused(config):
            self._resume(READING)

    def pause(self) -> None:
        """Switch it off, until `finish`; one whose owner had it off stays as it is."""
        with self._lock:
            self._pause()

    def written(self, nbytes: int) -> None:
        """Count what was written; enough of it switches indexing off."""
        with self._lock:
            self._unpaused_bytes += nbytes
            if self._unpaused_bytes >= BULK_BYTES:
                self._pause()

    def finish(self, seconds: float = READING) -> None:
        """Have the server index what is new, in the background."""
        with self._lock:
            self._unpaused_bytes = 0
            if self._paused:
                self._resume(seconds)

    def close(self) -> None:
        """As `finish`, without waiting long."""
        self.finish(CLOSING)

    def _pause(self) -> None:
        self._unpaused_bytes = 0
        try:
            config = self._connection.config()
            threshold = config.optimizer_config.indexing_threshold
            if threshold:
                # First what it was: whatever ends this process in between, nothing stays off unknown.
                if not _is_paused(config):
                    self._update("Pausing", READING, metadata={KEPT: threshold})
                self._update("Pausing", READING, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0))
            self._paused = threshold != 0 or _is_paused(config)
        except StoreError as error:
            _leave(error)

    def _resume(self, seconds: float) -> None:
        """Switch it on where `pause` switched it off, in whatever process."""
        try:
            config = self._connection.config(seconds)
            if _is_paused(config):
                if not config.optimizer_config.indexing_threshold:
                    threshold = int((config.metadata or {})[KEPT])
                    restored = models.OptimizersConfigDiff(indexing_threshold=threshold)
                    self._update("Resuming", seconds, optimizers_config=restored)
                self._update("Resuming", seconds, metadata={KEPT: None})
            self._paused = False
        except StoreError as error:
            _leave(error)

    def _update(
        self,
        doing: str,
        seconds: float,
        *,
        metadata: dict[str, int | None] | None = None,
        optimizers_config: models.OptimizersConfigDiff | None = None,
    ) -> None:
        client, name = self._connection.client, self._connection.name
        self._connection.ask(
            f"{doing} the indexing of",
            lambda: client.update_collection(name, metadata=metadata, optimizers_config=optimizers_config),
            seconds=seconds,
        )


def _is_paused(config: models.CollectionConfig) -> bool:
    return KEPT in (config.metadata or {})


def _leave(error: StoreError) -> None:
    # A key may be allowed to write points or to read them, and no more: searches are right either way.
    log.warning("%s Indexing stays as it is.", error)
