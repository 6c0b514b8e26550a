"""A server's indexing waits while much is written, and goes on afterwards, also after a crash in between."""

from qdrant_client import QdrantClient, models

__all__ = ["BULK_BYTES", "is_paused", "pause", "resume"]

# Vectors that one `add` writes before indexing waits. By itself the optimizer starts at some 10 MB, and then builds
# the graph of a growing segment again and again; a few documents more are better indexed as they come.
BULK_BYTES = 64 * 2**20
# The collection's own threshold, kept in its metadata from before indexing is switched off until it is on again.
KEPT = "vectorplug_indexing_threshold"


def is_paused(config: models.CollectionConfig) -> bool:
    """Whether `pause` was called last."""
    return KEPT in (config.metadata or {})


def pause(client: QdrantClient, collection: str, config: models.CollectionConfig) -> bool:
    """Switch indexing off, and whether it is now for `resume` to do; one whose owner had it off stays as it is."""
    threshold = config.optimizer_config.indexing_threshold
    if threshold:
        # First what it was: whatever ends this process in between, nothing stays off unknown.
        if not is_paused(config):
            client.update_collection(collection, metadata={KEPT: threshold})
        client.update_collection(collection, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0))
    return threshold != 0 or is_paused(config)


def resume(client: QdrantClient, collection: str, config: models.CollectionConfig) -> bool:
    """Switch indexing on again where `pause` switched it off, in whatever process; False: nothing is left to do."""
    if is_paused(config):
        threshold = int((config.metadata or {})[KEPT])
        if not config.optimizer_config.indexing_threshold:
            restored = models.OptimizersConfigDiff(indexing_threshold=threshold)
            client.update_collection(collection, optimizers_config=restored)
        client.update_collection(collection, metadata={KEPT: None})
    return False
