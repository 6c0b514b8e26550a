"""The contract of a store: modes, hits, ingest with resume, fingerprint."""

from vectorplug.search.asynchronous import AsyncStore
from vectorplug.search.backfill import BackfillReport
from vectorplug.search.config import IndexConfig
from vectorplug.search.fitting import FitReport
from vectorplug.search.hits import AddReport, Hit, Hits
from vectorplug.search.modes import MODES, VECTOR_MODES, Mode
from vectorplug.search.open import open_store
from vectorplug.search.refitting import RefitReport
from vectorplug.search.store import Store

__all__ = [
    "MODES",
    "VECTOR_MODES",
    "AddReport",
    "AsyncStore",
    "BackfillReport",
    "FitReport",
    "Hit",
    "Hits",
    "IndexConfig",
    "Mode",
    "RefitReport",
    "Store",
    "open_store",
]
