"""How a search came to its hits: what each stage found, and how long it took."""

import time
from collections.abc import Callable

from vectorplug.search.hits import Hit, Hits, Question, StageReport
from vectorplug.search.modes import Plan

__all__ = ["explained"]


def explained(
    search: Callable[[Plan, int], list[Hit]], question: Question, plan: Plan, limit: int, candidates: int
) -> Hits:
    """The hits of `plan`, and its stages as (plan, limit) searches: the candidates alone, then the whole.

    A database answers both stages at once, so the time of the ranking is what the whole takes beyond the candidates.
    """
    stages: list[StageReport] = []
    found_in = 0.0
    if plan.rerank is not None:
        candidates_alone = Plan(plan.find, None, plan.words)
        found, found_in = _timed(lambda: search(candidates_alone, candidates))
        stages.append(_stage(_name_of(plan), found_in, question, plan.find, found))
    hits, whole = _timed(lambda: search(plan, limit))
    name, using = (_name_of(plan), plan.find) if plan.rerank is None else ("rerank", plan.rerank)
    stages.append(_stage(name, max(0.0, whole - found_in), question, using, hits))
    return Hits(hits, stages)


def _timed(call: Callable[[], list[Hit]]) -> tuple[list[Hit], float]:
    began = time.perf_counter()
    found = call()
    return found, (time.perf_counter() - began) * 1000


def _name_of(plan: Plan) -> str:
    return f"{plan.find}+words" if plan.words else plan.find


def _stage(name: str, milliseconds: float, question: Question, using: str, found: list[Hit]) -> StageReport:
    vectors = dict(question.encoded.vectors())[using]
    return StageReport(name, milliseconds, int(vectors.nbytes), [(hit.id, hit.score) for hit in found])
