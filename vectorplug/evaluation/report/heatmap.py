"""`vectorplug explain` as a page: every query token over the document's own text, and what the FDE saw of it."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vectorplug.evaluation.explanation import Explanation
from vectorplug.evaluation.matches import Matches, Seen, pieces
from vectorplug.evaluation.report.page import document, save

__all__ = ["write_heatmap"]

# Shades from the page's own colour to the strongest.
SHADES = 9


def write_heatmap(path: str | Path, explanation: Explanation) -> None:
    """One HTML file, without network or script. InputError where it cannot be written."""
    title = str(explanation.payload.get("title") or explanation.id)
    parts = [
        f"<header><h1>Why did this document rank here?</h1><p>Document: <b>{escape(title)}</b></p>"
        f"<p>Question: <b>{escape(explanation.question)}</b></p><p>{_ticks(explanation.sentence)}</p></header>",
        f"<main>{_scores(explanation)}{_overview(explanation)}{_rows(explanation)}</main>",
        "<footer>" + "".join(f"<p>{escape(note)}.</p>" for note in explanation.notes) + "</footer>",
    ]
    save(path, document(f"Why did {title} rank here?", "".join(parts), STYLE))


STYLE = (
    "".join(
        f".h{i} {{ background: color-mix(in srgb, var(--heat) {100 * i // SHADES}%, transparent); }}\n"
        for i in range(1, SHADES + 1)
    )
    + """
section { margin-top: 16px; }
footer { margin-top: 16px; color: var(--soft); font-size: 0.85rem; }
.text { line-height: 1.9; max-width: none; white-space: pre-wrap; }
.text span { border-radius: 3px; padding: 1px 0; }
.text .best, .key .best { font-weight: 700; box-shadow: inset 0 -3px var(--accent); }
.soft { color: var(--soft); }
.key { display: flex; max-width: none; flex-wrap: wrap; gap: 4px 16px; align-items: center;
  font-size: 0.85rem; color: var(--soft); }
.key i { display: inline-block; width: 14px; height: 14px; vertical-align: -2px; border: 1px solid var(--grid); }
.key .best { color: var(--text); }
.ramp i { border: 0; margin: 0; width: 12px; }
.row { border-top: 1px solid var(--grid); margin: 0; }
.cells { display: grid; grid-template-columns: 1.2rem 8.5rem 8.5rem 3.5rem 9rem 1fr; gap: 0 12px; align-items: center;
  padding: 6px 0; color: var(--text); list-style: none; }
.cells::-webkit-details-marker { display: none; }
.cells::before { content: "▸"; color: var(--soft); }
.row[open] .cells::before { content: "▾"; }
.head { color: var(--soft); font-size: 0.85rem; }
.head::before { content: ""; }
.number { font-variant-numeric: tabular-nums; }
.strip { display: flex; height: 18px; border: 1px solid var(--grid); min-width: 0; overflow: hidden; }
.strip i { flex: 1 1 0; min-width: 0; }
.strip i.best { background: var(--accent); }
.bar { display: inline-block; width: 4.5em; height: 10px; border: 1px solid var(--soft); margin-right: 6px; }
.bar i { display: block; height: 100%; background: var(--soft); }
.blocks { display: flex; flex-wrap: wrap; gap: 3px; margin: 4px 0 8px; }
.blocks i { width: 16px; height: 16px; border: 1px solid var(--soft); border-radius: 2px; }
i.match { background: var(--heat); } i.others { background:
  repeating-linear-gradient(45deg, var(--heat) 0 2px, transparent 2px 5px); }
.within { padding: 4px 0 10px 1.6em; }
@media (max-width: 700px) {
  .cells { grid-template-columns: 1.2rem 1fr 1fr 3.2rem; }
  .cells .wide { grid-column: 2 / -1; }
  .head .wide { display: none; }
  .within { padding-left: 0; }
}
"""
)


def _scores(explanation: Explanation) -> str:
    rows = []
    for name, standing in (("exact MaxSim", explanation.by_maxsim), ("FDE", explanation.by_fde)):
        if standing is None:
            continue
        place = f"{standing.rank} of {standing.ranked}" if standing.rank else f"not among the best {standing.ranked}"
        rows.append(f'<tr><td>{name}</td><td class="number">{standing.score:.4f}</td><td>{place}</td></tr>')
    head = "<tr><th>by</th><th class='number'>score</th><th>place among the store's candidates</th></tr>"
    table = f'<div class="scroll"><table>{head}{"".join(rows)}</table></div>' if rows else ""
    return f"<section><h2>Its two ranks</h2>{table}</section>" if table else ""


def _overview(explanation: Explanation) -> str:
    matches = explanation.matches
    words = [i for i, token in enumerate(matches.query) if token.start >= 0]
    nearest = matches.similarities[words or slice(None)].max(axis=0)
    shades, best = _shades(matches, nearest), set(matches.best[words].tolist())
    key = (
        f'<p class="key"><span class="ramp">{np.median(matches.similarities):.2f} and less '
        + "".join(f'<i class="h{i}"></i>' for i in range(SHADES + 1))
        + f" {matches.similarities.max():.2f}: similarity to the nearest query token</span>"
        '<span><span class="best">underlined</span>: the best match of a query token</span></p>'
    )
    return f"<section><h2>The document</h2>{key}{_text(explanation, shades, best)}</section>"


def _rows(explanation: Explanation) -> str:
    matches, apart = explanation.matches, explanation.seen
    of_fde = "" if apart is None else " The bar is the share of the score that the FDE saw."
    rows = [
        '<div class="cells head"><span>query token</span><span>matched</span><span>score</span>'
        f'<span class="wide">{"FDE saw" if apart is not None else ""}</span>'
        '<span class="wide">the document, from its first token to its last</span></div>'
    ]
    for i, token in enumerate(matches.query):
        best = int(matches.best[i])
        shades = _shades(matches, matches.similarities[i])
        strip = "".join(f'<i class="{"best" if j == best else f"h{shade}"}"></i>' for j, shade in enumerate(shades))
        saw, blocks = ("", "") if apart is None else (_bar(apart, i, matches.scores[i]), _blocks(apart, i))
        rows.append(
            f'<details class="row" name="token"><summary class="cells"><b>{escape(token.label)}</b>'
            f"<span>{escape(matches.document[best].label)}</span>"
            f'<span class="number">{matches.scores[i]:.3f}</span><span class="wide number">{saw}</span>'
            f'<span class="wide strip" aria-hidden="true">{strip}</span></summary>'
            f'<div class="within">{blocks}{_text(explanation, shades, {best})}</div></details>'
        )
    return (
        f"<section><h2>Each query token</h2><p>Open one to see it over the document's text.{of_fde}</p>"
        f"{''.join(rows)}</section>"
    )


def _bar(apart: Seen, i: int, score: float) -> str:
    if score <= 0:
        return '<span class="soft">no match</span>'
    share = apart.caught[i] / score
    return f'<span class="bar"><i style="width:{min(max(share, 0), 1):.0%}"></i></span>{share:.0%}'


def _blocks(apart: Seen, i: int) -> str:
    kinds = ["match" if a else "" if b else "others" for a, b in zip(apart.with_match[i], apart.alone[i], strict=True)]
    cells = "".join(f'<i class="{kind}"></i>' for kind in kinds)
    return (
        '<p class="key"><span>Its block in each repetition of the FDE:</span>'
        f'<span><i class="match"></i> with its match ({kinds.count("match")})</span>'
        f'<span><i class="others"></i> with other tokens of the document only ({kinds.count("others")})</span>'
        f'<span><i></i> without any ({kinds.count("")})</span></p><div class="blocks" aria-hidden="true">{cells}</div>'
    )


def _text(explanation: Explanation, shades: Sequence[int], best: set[int]) -> str:
    """The document's text, each token in its shade; tokens that stand for no characters are left to the strips."""
    html = []
    for piece, positions in pieces(explanation.text, explanation.matches.document):
        if not positions:
            html.append(escape(piece))
            continue
        names = f"h{max(shades[j] for j in positions)}" + (" best" if best.intersection(positions) else "")
        html.append(f'<span class="{names}">{escape(piece)}</span>')
    return f'<p class="text">{"".join(html)}</p>'


def _shades(matches: Matches, similarities: npt.NDArray[np.float64]) -> list[int]:
    """0 to SHADES, from the median similarity of all pairs (what means nothing) to the highest."""
    low, high = float(np.median(matches.similarities)), float(matches.similarities.max())
    shares = (similarities - low) / (high - low) if high > low else np.zeros(len(similarities))
    return [int(each) for each in np.rint(np.clip(shares, 0, 1) * SHADES)]


def _ticks(text: str) -> str:
    """`so` as bold words."""
    parts = escape(text).split("`")
    return "".join(f"<b>{part}</b>" if i % 2 else part for i, part in enumerate(parts))
