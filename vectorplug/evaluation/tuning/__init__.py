"""Which parameters to use: everything measured on one encoding, one Pareto front, one recommendation."""

from vectorplug.evaluation.tuning.front import Budget
from vectorplug.evaluation.tuning.results import Choice, Predicted, Recommendation, Tuning
from vectorplug.evaluation.tuning.tuner import tune

__all__ = ["Budget", "Choice", "Predicted", "Recommendation", "Tuning", "tune"]
