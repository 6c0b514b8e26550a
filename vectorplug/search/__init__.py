"""The contract of a store: modes, hits, ingest with resume, fingerprint."""

from vectorplug.search.hits import AddReport, Hit
from vectorplug.search.modes import MODES, Mode
from vectorplug.search.open import open_store
from vectorplug.search.store import Store

__all__ = ["MODES", "AddReport", "Hit", "Mode", "Store", "open_store"]
