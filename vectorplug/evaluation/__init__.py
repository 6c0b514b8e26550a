"""How good is it, and how much is lost: collections, metrics, and every mode on the user's own data."""

from vectorplug.evaluation.collections import BeirCollection, read_collection
from vectorplug.evaluation.corpus import SUFFIXES, BrokenLine, Document, read_corpus
from vectorplug.evaluation.metrics import Judge, overlap
from vectorplug.evaluation.results import Evaluation, ModeResult, Times
from vectorplug.evaluation.runner import evaluate

__all__ = [
    "SUFFIXES",
    "BeirCollection",
    "BrokenLine",
    "Document",
    "Evaluation",
    "Judge",
    "ModeResult",
    "Times",
    "evaluate",
    "overlap",
    "read_collection",
    "read_corpus",
]
