"""`vectorplug index`: files into a collection; the same command again completes what was interrupted."""

import itertools
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vectorplug.cli.console import notes, print_json, results
from vectorplug.cli.options import Collection, Compressor, Config, Json, Model, Store, StoredMode, make_vectorizer
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.settings import settings

if TYPE_CHECKING:
    from vectorplug.evaluation.corpus import BrokenLine, Document
    from vectorplug.search import Store as AnyStore

__all__ = ["NAMED", "index", "open_or_make"]

# New documents that say something of the drift.
TELLING = 64
NAMED = 10
"""How many refused documents and broken lines are named; the rest are counted."""


def index(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders: .jsonl, .csv, .txt, .md, .html.", exists=True)],
    store: Store = None,
    collection: Collection = None,
    model: Model = None,
    mode: StoredMode = None,
    config: Config = None,
    compressor: Compressor = None,
    as_json: Json = False,
) -> None:
    """Encode the texts of files and write them into a collection."""
    from vectorplug.evaluation.corpus import SUFFIXES, read_corpus
    from vectorplug.search.fitting import REFIT_FROM

    store, collection = store or settings().store, collection or settings().collection
    broken: list[BrokenLine] = []
    with open_or_make(store, collection, model, mode, config, compressor) as opened:
        # Files can be read twice; what is broken in them is told by the second reading.
        fit = opened.fit(document.text for document in read_corpus(paths, on_broken=lambda _: None))
        if fit is not None:
            notes.print(f"fitted to {fit.sampled:,} of {fit.texts:,} texts in {fit.seconds:,.0f} s", style="dim")
        documents = read_corpus(paths, on_broken=broken.append)
        report = opened.add(*_columns(documents))
        total = opened.count()
        drift = opened.drift(report.sample) if fit is None and len(report.sample) >= TELLING else None
    if not (report.added or report.skipped or report.failed or broken):
        raise InputError(f"no file of {', '.join(SUFFIXES)} in {', '.join(map(str, paths))}: nothing to index.")
    for line in broken[:NAMED]:
        notes.print(f"skipped {line}", style="yellow")
    for name, reason in report.failed[:NAMED]:
        notes.print(f"refused {name}: {reason}", style="yellow")
    if report.truncated:
        notes.print(
            f"of {report.truncated:,} texts the model reads the beginning alone, and no search finds what comes after: "
            "split them into passages before, or take a model that reads more of a text.",
            style="yellow",
        )
    if drift is not None and drift.ratio >= REFIT_FROM:
        notes.print(
            f"the FDE was fitted to other documents: of these it leaves {drift.ratio:.1f} times as much unexplained. "
            f"Searches find less of them; fit it again, `vectorplug refit --store {store} --collection {collection}`.",
            style="yellow",
        )
    if as_json:
        print_json(
            {
                "store": store,
                "collection": collection,
                "added": report.added,
                "unchanged": report.skipped,
                "refused": [{"id": name, "reason": reason} for name, reason in report.failed],
                "broken_lines": [{"path": str(b.path), "line": b.line_number, "reason": b.reason} for b in broken],
                "truncated": report.truncated,
                "fit": None if fit is None else asdict(fit),
                "drift": None if drift is None else drift.ratio,
                "documents": total,
            }
        )
        return
    results.print(
        f"{report.added:,} added, {report.skipped:,} unchanged, {len(report.failed):,} refused, "
        f"{len(broken):,} broken lines, {report.truncated:,} cut at the model's limit; "
        f"{total:,} documents in {store}"
    )


def open_or_make(
    url: str,
    collection: str,
    model: str | None,
    mode: str | None,
    config: Path | None = None,
    compressor: str | None = None,
) -> "AnyStore[Any]":
    """The collection with the model that it was made with; a new one as the config says, or the named model."""
    from vectorplug.compressor import family_of
    from vectorplug.search import IndexConfig, open_store

    if config is not None:
        said = IndexConfig.read(config).of_family(compressor)
        vectorizer = make_vectorizer(model, said)
        return open_store(url, collection=collection, vectorizer=vectorizer, mode=mode, config=said)  # type: ignore[arg-type]
    if model is None and settings().model is None:
        opened = open_store(url, collection=collection, mode=mode)  # type: ignore[arg-type]
        if opened.info is not None:
            if compressor is not None and family_of(opened.info.fde or "") != compressor:
                opened.close()
                raise ConfigurationError(
                    f"collection {collection!r} has {opened.info.fde or 'no FDE'}, --compressor asks for "
                    f"{compressor}: leave it out, or index into a new collection."
                )
            return opened
        opened.close()
    vectorizer = make_vectorizer(model, None if compressor is None else IndexConfig().of_family(compressor))
    return open_store(url, collection=collection, vectorizer=vectorizer, mode=mode)  # type: ignore[arg-type]


def _columns(documents: "Iterator[Document]") -> tuple[Iterator[str], Iterator[str], Iterator[dict[str, object]]]:
    """Three streams out of one; a store reads them in step, so nothing piles up between them."""
    first, second, third = itertools.tee(documents, 3)
    return (d.text for d in first), (d.id for d in second), (d.payload for d in third)
