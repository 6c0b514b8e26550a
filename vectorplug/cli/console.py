"""How the command line talks: results on stdout, everything else on stderr, errors in one line."""

import json
import logging
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["notes", "print_error", "print_json", "results", "table", "tell_compiling"]

results = Console(highlight=False, soft_wrap=True)
notes = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout, whatever stdout is."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_error(message: str) -> None:
    """`error: ...`, one line."""
    notes.print("[bold red]error:[/]", " ".join(message.split()), style=None, markup=True, end="\n")


def table(*columns: str, title: str | None = None, right: tuple[str, ...] = ()) -> Table:
    """A table without outer lines; the columns in `right` hold numbers."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        notes.print(record.getMessage(), style="dim")


_compiling = _Notes()


def tell_compiling() -> None:
    """From now on say on stderr that kernels are compiled, which makes a first command slow."""
    logger = logging.getLogger("vectorplug.compiling")
    logger.setLevel(logging.INFO)
    logger.addHandler(_compiling)
