"""The options that several commands share, and the objects that they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vectorplug.cli.console import notes
from vectorplug.errors import ConfigurationError
from vectorplug.settings import settings

if TYPE_CHECKING:
    from vectorplug.search import IndexConfig
    from vectorplug.vectorizer import Vectorizer

__all__ = ["Collection", "Compressor", "Config", "Json", "Model", "Store", "StoredMode", "make_vectorizer"]

# Their defaults are those of `Settings`, read when a command runs.
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        help="edge:FOLDER, an embedded Qdrant on this machine; qdrant+http://HOST:6333 or weaviate+http://HOST:8080, "
        "a server (VECTORPLUG_STORE); its key is VECTORPLUG_STORE_API_KEY.",
    ),
]
Collection = Annotated[str | None, typer.Option("--collection", help="Name in the store (VECTORPLUG_COLLECTION).")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model", help="Short name, hub id, folder or package:NAME; see `vectorplug models` (VECTORPLUG_MODEL)."
    ),
]
StoredMode = Annotated[
    str | None,
    typer.Option("--mode", help="native, fde, fde+rerank (the default), dense, dense+rerank, hybrid, hybrid+rerank."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A TOML file that says model, mode, candidates, FDE and numbers, as `vectorplug tune` writes it; --model "
        "and --mode go before it.",
        exists=True,
        dir_okay=False,
    ),
]
Compressor = Annotated[
    str | None,
    typer.Option(
        "--compressor",
        help="What makes the FDE of a new collection: muvera (the default), or lemur, which is fitted to a sample of "
        "the texts first and is a twentieth of the size. It goes before the config's.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Queries = Annotated[
    Path | None,
    typer.Option(help="Others than queries.jsonl: .jsonl, or .txt with one a line.", exists=True, dir_okay=False),
]
Qrels = Annotated[Path | None, typer.Option(help="Other judgements than qrels.tsv.", exists=True, dir_okay=False)]
Field = Annotated[str, typer.Option(help="The payload field that holds a store's texts.")]
Plots = Annotated[
    Path | None, typer.Option(help="A folder for the report's figures: SVG, PNG, CSV, JSON.", file_okay=False)
]
Cache = Annotated[
    Path | None, typer.Option(help="Where encoded texts are kept, for a run that was interrupted.", file_okay=False)
]


def make_vectorizer(model: str | None, config: "IndexConfig | None" = None) -> "Vectorizer":
    """The named model, or the config's, or the default one, said on stderr."""
    from vectorplug.models.default import default_model
    from vectorplug.vectorizer import Vectorizer

    name = model or (config.model if config is not None else None) or settings().model
    if name is None:
        name = default_model()
        notes.print(f"model: {name} (the default here; --model names another)", style="dim")
    if config is not None:
        return config.vectorizer(name, device=settings().device, dtype=settings().dtype)
    return Vectorizer(name, device=settings().device, dtype=settings().dtype)


def encoded_cache(named: Path | None) -> Path:
    """The folder of --cache, else the user's own for encoded texts."""
    if named is not None:
        return named
    try:
        from platformdirs import user_cache_path
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "the folder for encoded texts is found by the package 'platformdirs': pip install 'vectorplug[eval]', or "
            "name one, --cache FOLDER."
        ) from error
    return user_cache_path("vectorplug") / "encoded"


def check_plots(plots: Path | None, report: Path | None) -> None:
    """ConfigurationError for figures without the page that they belong to."""
    if plots is not None and report is None:
        raise ConfigurationError("--plots holds the figures of a report: name its page, too, with --report FILE.")
