"""Tables in Markdown."""

from collections.abc import Iterable, Iterator, Sequence

__all__ = ["table_of"]


def table_of(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Its lines; a cell's own bars become slashes."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/') for cell in row)} |"
