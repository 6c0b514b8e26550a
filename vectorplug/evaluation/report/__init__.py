"""Pictures of what an evaluation found, and one page that holds them."""

from vectorplug.evaluation.report.data import Loss, Point, Series, Table, pareto_front
from vectorplug.evaluation.report.figures import Figure, bars, curve, front, losses
from vectorplug.evaluation.report.page import Section, write

__all__ = [
    "Figure",
    "Loss",
    "Point",
    "Section",
    "Series",
    "Table",
    "bars",
    "curve",
    "front",
    "losses",
    "pareto_front",
    "write",
]
