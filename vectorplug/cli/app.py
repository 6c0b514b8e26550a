"""The commands, each in a module of its own that imports what it needs when it runs."""

from typing import Annotated

import typer

from vectorplug import __version__
from vectorplug.cli.backfill import backfill
from vectorplug.cli.console import tell_compiling
from vectorplug.cli.demo import demo
from vectorplug.cli.doctor import doctor
from vectorplug.cli.evaluate import evaluate
from vectorplug.cli.explain import explain
from vectorplug.cli.index import index
from vectorplug.cli.models import models
from vectorplug.cli.refit import refit
from vectorplug.cli.search import search
from vectorplug.cli.serve import serve
from vectorplug.cli.tune import tune

__all__ = ["app"]

app = typer.Typer(
    name="vectorplug",
    help="Multi-vector search for the vector database that you already run.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(index)
app.command()(search)
app.command()(explain)
app.command()(backfill)
app.command()(refit)
app.command("eval")(evaluate)
app.command()(tune)
app.command()(serve)
app.command()(demo)
app.command()(doctor)
app.add_typer(models, name="models")


def print_version(asked: bool) -> None:
    """Print the version and stop, before a command is looked for."""
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[  # noqa: ARG001  # its callback has printed it
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True, callback=print_version)
    ] = False,
) -> None:
    """Multi-vector search for the vector database that you already run."""
    tell_compiling()
