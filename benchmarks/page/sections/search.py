"""A real collection indexed and searched end to end, from the same tokens."""

from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from benchmarks.page.data import DIM, MODEL, QUERY_TOKENS, write_tokens
from benchmarks.page.part import Part, Table
from benchmarks.page.turns import Bench, Entry, take_turns
from vectorplug import Vectorizer
from vectorplug.evaluation import read_collection
from vectorplug.evaluation.workload import encode_workload

__all__ = ["measure"]

DOCUMENTS, QUERIES = 1400, 50
TOP = 10
# A turn asks so many queries, one at a time.
ASKED = 10
ROUNDS = {"search": 7}
SMALL = {"n_full_scores": 1024, "n_ivf_probe": 4}
FACTS = {"index_seconds": "index, s", "bytes": "bytes a document"}
SHARE = "10R@10"


def measure(bench: Bench, room: Path) -> Part:
    """MiniLM's tokens, cut to 128 numbers; the share of exact MaxSim's ten best is told beside the time."""
    if not bench.collection.is_dir():
        missing = "missing: a collection in BEIR's layout, `make bench FOLDER=ITS_FOLDER`."
        return Part.of("search", bench, [], said=missing)
    vectorizer = Vectorizer(MODEL, fde=None, dimensions=DIM)
    workload = encode_workload(
        read_collection(str(bench.collection)),
        vectorizer,
        cache=user_cache_path("vectorplug") / "encoded",
        documents=DOCUMENTS,
        queries=QUERIES,
        outputs=("tokens",),
    )
    documents, queries = workload.documents.tokens, workload.queries.tokens
    assert documents is not None
    assert queries is not None
    short = np.flatnonzero(queries.lengths <= QUERY_TOKENS)
    exact = workload.exact.positions[short]
    write_tokens(room, documents, queries.take(short))
    outcomes = take_turns(bench, _entries(), room, ROUNDS, results=["found"])
    title = f"{len(documents):,} documents of {workload.collection.name}, a query at a time"
    table = Table.of("search", title, 1, "queries", outcomes, "search")
    rows = []
    for row, outcome in zip(table.rows, outcomes, strict=True):
        facts = {said: outcome.facts[name] for name, said in FACTS.items() if name in outcome.facts}
        if "found" in outcome.results:
            facts[SHARE] = _share(outcome.results["found"], exact)
        rows.append(row.model_copy(update={"facts": facts}))
    said = (
        f"{len(documents):,} documents of {documents.lengths.mean():.0f} tokens of {DIM} numbers, {len(short)} of the "
        f"collection's queries, of at most {QUERY_TOKENS} tokens: with more, maxsim-cpu 0.1 gave wrong scores or died. "
        f"{SHARE} is the share of exact MaxSim's ten best among the first ten. The index is made of tokens that are "
        "there: encoding them is a section of its own. Bytes are of the vectors alone."
    )
    table = table.model_copy(update={"rows": tuple(rows), "facts": (SHARE, *FACTS.values())})
    return Part.of("search", bench, outcomes, tables=[table], said=said)


def _entries() -> list[Entry]:
    return [
        Entry("vectorplug, exact, float32", "search:exact", options={"dtype": "float32"}, items=ASKED),
        Entry("vectorplug, exact, int8", "search:exact", options={"dtype": "int8"}, items=ASKED),
        Entry("vectorplug, exact, int4", "search:exact", options={"dtype": "int4"}, items=ASKED),
        *(
            Entry(
                f"vectorplug, {name}, MaxSim of 100 in int8",
                "search:two_stages",
                options={"compressor": compressor, "dtype": "int8"},
                items=ASKED,
            )
            for name, compressor in (("FDE", "muvera"), ("Lemur 512", "lemur"))
        ),
        Entry("maxsim-cpu, exact, float32", "search:maxsim_cpu", "maxsim-cpu", items=ASKED),
        Entry("qdrant-client, local mode, exact", "search:qdrant_client", "qdrant-client", items=ASKED),
        Entry("fast-plaid (PLAID), default", "search:plaid", "fast-plaid", items=ASKED),
        Entry("fast-plaid (PLAID), 1,024 full scores, 4 probes", "search:plaid", "fast-plaid", SMALL, items=ASKED),
    ]


def _share(found: list[list[int]], exact: np.ndarray) -> float:
    pairs = zip(found, exact[:, :TOP], strict=True)
    return float(np.mean([len(np.intersect1d(mine[:TOP], best)) / TOP for mine, best in pairs]))
