"""`vectorplug models`: which names are known, what is known of them, and fetching one ahead of time."""

from typing import Annotated

import typer

from vectorplug.cli.console import notes, print_json, results, table
from vectorplug.cli.options import Json

__all__ = ["models"]

# Weights of other frameworks, which some repositories hold beside the safetensors.
OTHER_FORMATS = ["*.onnx", "onnx/*", "*.h5", "*.msgpack", "openvino/*"]

models = typer.Typer(help="List, show and pull models.", invoke_without_command=True)


@models.callback()
def default(context: typer.Context) -> None:
    """List, show and pull models."""
    if context.invoked_subcommand is None:
        list_models(as_json=False)


@models.command("list")
def list_models(as_json: Json = False) -> None:
    """The short names; any hub id, folder or package:NAME works, too."""
    from vectorplug.models.catalog import catalog

    if as_json:
        print_json([entry.model_dump(exclude_none=True) for entry in catalog().values()])
        return
    listing = table("name", "id", "kind")
    for entry in catalog().values():
        listing.add_row(entry.name, entry.id, entry.kind)
    results.print(listing)


@models.command()
def show(
    name: Annotated[str, typer.Argument(help="Short name, hub id, folder or package:NAME.")], as_json: Json = False
) -> None:
    """What is known of a model, and where it would be loaded from; nothing is loaded or fetched."""
    from vectorplug.models.catalog import resolve

    source = resolve(name)
    facts = source.model_dump(mode="json", exclude={"entry"}, exclude_none=True)
    said = {"id", "revision"} if source.revision else {"id"}
    facts |= source.entry.model_dump(exclude_none=True, exclude=said) if source.entry else {}
    if as_json:
        print_json(facts)
        return
    listing = table("", "")
    listing.show_header = False
    for key, value in facts.items():
        listing.add_row(key, ", ".join(value) if isinstance(value, list) else str(value))
    results.print(listing)


@models.command()
def pull(name: Annotated[str, typer.Argument(help="Short name or hub id, @REVISION after it pins one.")]) -> None:
    """Fetch a model from the hub into its cache, so that loading it later needs no network."""
    from huggingface_hub import snapshot_download

    from vectorplug.models.catalog import resolve
    from vectorplug.models.loading import errors_named

    source = resolve(name)
    if source.hub_id is None:
        notes.print(f"{source.name} is on this machine already: {source.folder}")
        return
    with errors_named(source):
        folder = snapshot_download(
            source.hub_id,
            revision=source.revision,
            ignore_patterns=OTHER_FORMATS,
        )
    results.print(folder)
