"""How good is it, and how much is lost: collections, metrics, and every mode on the user's own data."""

from vectorplug.evaluation.collections import Collection, read_collection, read_qrels, read_queries
from vectorplug.evaluation.corpus import SUFFIXES, BrokenLine, Document, read_corpus
from vectorplug.evaluation.metrics import Judge, overlap
from vectorplug.evaluation.questions import draw_questions
from vectorplug.evaluation.rankings import Rankings, rank_biased_overlap, recall_of
from vectorplug.evaluation.results import Evaluation, ModeResult, Times
from vectorplug.evaluation.runner import evaluate
from vectorplug.evaluation.statistics import Interval, interval, paired
from vectorplug.evaluation.stored import evaluate_store
from vectorplug.evaluation.workload import Workload, encode_workload

__all__ = [
    "SUFFIXES",
    "BrokenLine",
    "Collection",
    "Document",
    "Evaluation",
    "Interval",
    "Judge",
    "ModeResult",
    "Rankings",
    "Times",
    "Workload",
    "draw_questions",
    "encode_workload",
    "evaluate",
    "evaluate_store",
    "interval",
    "overlap",
    "paired",
    "rank_biased_overlap",
    "read_collection",
    "read_corpus",
    "read_qrels",
    "read_queries",
    "recall_of",
]
