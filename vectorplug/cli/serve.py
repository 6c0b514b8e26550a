"""`vectorplug serve`: the drop-in server for hosted embedding APIs and the databases' inference."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vectorplug.cli.console import notes
from vectorplug.cli.options import Model
from vectorplug.errors import ConfigurationError
from vectorplug.settings import settings

__all__ = ["serve"]


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (VECTORPLUG_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port (VECTORPLUG_PORT).")] = None,
    model: Model = None,
    api_key: Annotated[
        list[str] | None, typer.Option(help="Who sends it may ask; may be given again (VECTORPLUG_API_KEYS).")
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="A file of keys, one a line (VECTORPLUG_API_KEY_FILE).")
    ] = None,
    allow_models: Annotated[
        list[str] | None,
        typer.Option(help="What requests may name and load: NAME or NAME=MODEL (VECTORPLUG_ALLOW_MODELS)."),
    ] = None,
    fde: Annotated[
        list[str] | None,
        typer.Option(
            help="What folds tokens: FDE of the default model, or NAME=FDE; a file of Lemur.save or a fingerprint of "
            "MUVERA (VECTORPLUG_FDE)."
        ),
    ] = None,
    vectors: Annotated[
        list[str] | None,
        typer.Option(help="Stored tokens for /v1/score: NAME=FILE of MultiVectors.save (VECTORPLUG_VECTORS)."),
    ] = None,
    truncate: Annotated[
        bool | None,
        typer.Option("--truncate", help="Cut texts that are too long in every format (VECTORPLUG_TRUNCATE)."),
    ] = None,
) -> None:
    """Serve embeddings and reranking in the formats of OpenAI, Cohere, Jina, Voyage, TEI, Ollama and our own."""
    try:
        from vectorplug.server.serve import serve as run
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"{error.name} is not installed: pip install 'vectorplug[server]'.") from error
    from vectorplug.models.default import default_model

    chosen: dict[str, Any] = {
        "host": host,
        "port": port,
        "model": model,
        "api_keys": api_key and ",".join(api_key),
        "api_key_file": api_key_file,
        "allow_models": allow_models and ",".join(allow_models),
        "fde": fde and ",".join(fde),
        "vectors": vectors and ",".join(vectors),
        "truncate": truncate,
    }
    wanted = settings().with_(**{name: value for name, value in chosen.items() if value is not None})
    name = wanted.model or default_model()
    notes.print(f"serving {name} on http://{wanted.host}:{wanted.port} (formats: /docs)", style="dim")
    run(wanted, name)
