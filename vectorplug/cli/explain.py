"""`vectorplug explain`: why a document ranks where it does for a question."""

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.text import Text

from vectorplug.cli.console import notes, print_json, results, table
from vectorplug.cli.options import Collection, Json, Store
from vectorplug.settings import settings

if TYPE_CHECKING:
    from rich.table import Table

    from vectorplug.evaluation.candidates import Standing
    from vectorplug.evaluation.explanation import Explanation

__all__ = ["explain"]

# Characters of the document that are shown on either side of a match, and of a document that is shown whole.
AROUND = 60
WHOLE = 600


def explain(
    question: Annotated[str, typer.Argument(help="What was asked.")],
    document: Annotated[str, typer.Argument(metavar="ID", help="The document, by its id in the collection.")],
    store: Store = None,
    collection: Collection = None,
    candidates: Annotated[int, typer.Option(min=1, help="Among how many of the best by FDE it is ranked.")] = 100,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a heatmap, too: one page, no network.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which query token matched which word of a document, and how much of it the FDE saw."""
    from vectorplug.evaluation.explanation import explain as take_apart
    from vectorplug.search import open_store

    store, collection = store or settings().store, collection or settings().collection
    with open_store(store, collection=collection) as opened:
        found = take_apart(opened, question, document, candidates=candidates)
    if html is not None:
        from vectorplug.evaluation.report.heatmap import write_heatmap

        write_heatmap(html, found)
        notes.print(f"written: {html}", style="dim", markup=False)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)


def _print(found: "Explanation") -> None:
    results.print(f"[bold]{escape(str(found.id))}[/]  {escape(str(found.payload.get('title') or ''))}".rstrip())
    for name, standing in (("exact MaxSim", found.by_maxsim), ("FDE", found.by_fde)):
        if standing is not None:
            results.print(f"{name}: {_place(standing)}")
    results.print()
    results.print(_text(found), soft_wrap=False)
    results.print()
    results.print(_tokens(found), soft_wrap=False)
    if found.sentence:
        results.print()
        results.print(Text(found.sentence), soft_wrap=False)
    for note in found.notes:
        notes.print(f"note: {note}", style="dim", markup=False)


def _place(standing: "Standing") -> str:
    place = f"number {standing.rank} of" if standing.rank else "not among"
    return f"{standing.score:.4f}, {place} the store's {standing.ranked} candidates"


def _text(found: "Explanation") -> Text:
    """The document around its matches; behind each match the numbers of the query tokens that chose it."""
    from vectorplug.evaluation.matches import pieces

    matches = found.matches
    askers: dict[int, list[int]] = defaultdict(list)
    for i, best in enumerate(matches.best.tolist()):
        if matches.query[i].start >= 0:
            askers[best].append(i)
    parts = [
        (piece, sorted(i for position in positions for i in askers[position]))
        for piece, positions in pieces(found.text, matches.document)
    ]
    ends = [0]
    for piece, _ in parts:
        ends.append(ends[-1] + len(piece))
    chosen = [(ends[k], ends[k + 1]) for k, (_, asking) in enumerate(parts) if asking]
    shown = Text()
    top, skipping = max(matches.scores.max(), 1e-9), False
    for k, (piece, asking) in enumerate(parts):
        near = len(found.text) <= WHOLE or any(
            start - AROUND < ends[k + 1] and ends[k] < end + AROUND for start, end in chosen
        )
        if not near or not piece:
            if piece and not skipping:
                shown.append(" … ", style="dim")
            skipping = skipping or bool(piece)
            continue
        skipping = False
        flat = " ".join(piece.split()) or " "
        flat = f"{' ' * piece[0].isspace()}{flat}{' ' * piece[-1].isspace()}" if piece.strip() else " "
        if asking:
            strength = max(matches.scores[i] for i in asking) / top
            shown.append(flat, style="bold black on bright_cyan" if strength > 0.75 else "bold cyan")
            shown.append(f"[{','.join(str(i) for i in asking)}]", style="cyan")
        else:
            shown.append(flat)
    return shown


def _tokens(found: "Explanation") -> "Table":
    matches, apart = found.matches, found.seen
    by_fde = ("FDE saw", "same block", "alone") if apart is not None else ("FDE",) if found.parts is not None else ()
    numbers = ("score", *by_fde)
    shown = table("#", "query token", "matched", *numbers, right=("#", *numbers))
    markers = [i for i, token in enumerate(matches.query) if token.start < 0]
    for i, token in enumerate(matches.query):
        if i in markers:
            continue
        row = [str(i), escape(token.label), escape(matches.document[matches.best[i]].label), f"{matches.scores[i]:.3f}"]
        if apart is not None:
            score = matches.scores[i]
            row.append(f"{apart.caught[i] / score:.0%}" if score > 0 else "-")
            row += [f"{each[i].sum()} of {apart.repetitions}" for each in (apart.with_match, apart.alone)]
        if found.parts is not None:
            row.append(f"{found.parts[i]:+.3f}")
        shown.add_row(*row)
    if markers:
        total = matches.scores[markers].sum()
        saw = [] if apart is None else [f"{apart.caught[markers].sum() / total:.0%}" if total > 0 else "-", "", ""]
        if found.parts is not None:
            saw = [f"{found.parts[markers].sum():+.3f}"]
        shown.add_row("", f"({len(markers)} markers)", "", f"{total:.3f}", *saw, style="dim")
    return shown
