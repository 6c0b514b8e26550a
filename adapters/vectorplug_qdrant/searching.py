"""A search as one query of a server."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from qdrant_client import models

from vectorplug.encoded import Output
from vectorplug.search.hits import Question
from vectorplug.search.modes import Plan
from vectorplug_qdrant.schema import OVERSAMPLING, WORDS, WORDS_MODEL, Stage, stages_of

__all__ = ["query_of"]


def query_of(
    question: Question,
    plan: Plan,
    limit: int,
    filter: models.Filter | None,
    candidates: int,
    names: Mapping[Output, str],
) -> dict[str, Any]:
    """The arguments of `query_points`: every stage searches what those before it found, vectors under `names`."""
    steps = stages_of(plan, limit, candidates)
    prefetch: list[models.Prefetch] = []
    for step in steps[:-1]:
        prefetch = [
            models.Prefetch(
                query=_query(stage, question),
                using=_using(stage, names),
                limit=stage.limit,
                filter=filter,
                params=_params(stage),
                prefetch=prefetch,
            )
            for stage in step
        ]
    (last,) = steps[-1]
    return {
        "query": _query(last, question),
        "using": _using(last, names),
        "limit": last.limit,
        "query_filter": filter,
        "search_params": _params(last),
        "prefetch": prefetch,
    }


def _query(stage: Stage, question: Question) -> models.Query:
    if stage.using == "fusion":
        return models.FusionQuery(fusion=models.Fusion.RRF)
    if stage.using == WORDS:
        return models.NearestQuery(nearest=models.Document(text=question.text, model=WORDS_MODEL))
    vector = getattr(question.encoded, stage.using)[0]
    return models.NearestQuery(nearest=np.asarray(vector, np.float32).tolist())


def _using(stage: Stage, names: Mapping[Output, str]) -> str | None:
    if stage.using == "fusion":
        return None
    return stage.using if stage.using == WORDS else names.get(stage.using, stage.using)


def _params(stage: Stage) -> models.SearchParams | None:
    if stage.using in ("fusion", WORDS):
        return None
    if stage.ef is None:
        return models.SearchParams(exact=True)
    # Says nothing to a collection without quantization.
    quantization = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    return models.SearchParams(hnsw_ef=stage.ef, quantization=quantization)
