"""Commands and options are a promise: one that goes or is renamed breaks somebody's script."""

import typer

from vectorplug.cli.app import app

PROMISED = {
    "backfill": [
        "--collection",
        "--dry-run",
        "--field",
        "--help",
        "--json",
        "--mode",
        "--model",
        "--outputs",
        "--store",
    ],
    "demo": ["--folder", "--help", "--model"],
    "doctor": ["--help", "--json"],
    "eval": [
        "--cache",
        "--candidates",
        "--collection",
        "--documents",
        "--field",
        "--help",
        "--json",
        "--losers",
        "--model",
        "--modes",
        "--plots",
        "--probes",
        "--qrels",
        "--queries",
        "--questions",
        "--report",
        "--store",
        "folder",
    ],
    "explain": ["--candidates", "--collection", "--help", "--html", "--json", "--store", "document", "question"],
    "index": ["--collection", "--compressor", "--config", "--help", "--json", "--mode", "--model", "--store", "paths"],
    "models list": ["--help", "--json"],
    "models pull": ["--help", "name"],
    "models show": ["--help", "--json", "name"],
    "refit": ["--collection", "--compressor", "--field", "--help", "--json", "--store"],
    "search": [
        "--candidates",
        "--collection",
        "--explain",
        "--help",
        "--json",
        "--limit",
        "--mode",
        "--store",
        "question",
    ],
    "serve": [
        "--allow-models",
        "--api-key",
        "--api-key-file",
        "--fde",
        "--help",
        "--host",
        "--model",
        "--port",
        "--truncate",
        "--vectors",
    ],
    "tune": [
        "--budget-bytes",
        "--budget-ms",
        "--cache",
        "--collection",
        "--documents",
        "--documents-total",
        "--field",
        "--help",
        "--json",
        "--model",
        "--out",
        "--plots",
        "--qrels",
        "--queries",
        "--questions",
        "--report",
        "--store",
        "--target-recall",
        "source",
    ],
}


def options(command: typer.core.TyperCommand) -> list[str]:
    context = command.make_context("vectorplug", [], resilient_parsing=True)
    return sorted(max(parameter.opts, key=len) for parameter in command.get_params(context))


def test_every_command_has_the_options_that_are_promised() -> None:
    root = typer.main.get_command(app)
    found = {}
    for name, command in root.commands.items():
        for inner, leaf in getattr(command, "commands", {"": command}).items():
            found[f"{name} {inner}".strip()] = options(leaf)
    assert found == PROMISED
