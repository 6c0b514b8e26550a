"""Ours and every peer side by side: measures, and writes docs/benchmarks.md.

    python -m benchmarks.page [SECTION ...] [--peer NAME=PYTHON ...] [--collection FOLDER] [--page-only]

Sections: maxsim, fde, encode, search, growth, cost; without one all of them. Each is kept as JSON in docs/benchmarks as
soon as it is measured, and the page is made of what is there. PYTHON is that of an environment where a peer lives whose
pins clash with ours; a peer that is nowhere is a row that says how to get it.
"""

import argparse
import signal
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

from benchmarks.page.page import write_page
from benchmarks.page.part import Part
from benchmarks.page.peers import interpreters
from benchmarks.page.turns import Bench
from benchmarks.rounds import console
from vectorplug.threads import thread_limit

SECTIONS = ("maxsim", "fde", "encode", "search", "growth", "cost")
COLLECTION = Path("../shared/data/cranfield")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON", help="as often as you like")
    parser.add_argument("--collection", type=Path, default=COLLECTION, help="a folder in BEIR's layout, for search")
    parser.add_argument("--page-only", action="store_true", help="draw what was measured before")
    parser.add_argument("--out", type=Path, default=Path("docs"))
    asked = parser.parse_args()
    unknown = sorted(set(asked.sections) - set(SECTIONS))
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    try:
        bench = Bench(interpreters(asked.peer), thread_limit(), asked.collection)
    except ValueError as error:
        parser.error(str(error))
    signal.signal(signal.SIGTERM, _end)
    kept = asked.out / "benchmarks"
    for section in () if asked.page_only else asked.sections or SECTIONS:
        console.print(f"[bold]{section}[/]")
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="vectorplug-") as room:
            part: Part = import_module(f"benchmarks.page.sections.{section}").measure(bench, Path(room))
        seconds = time.monotonic() - began
        part.model_copy(update={"seconds": seconds}).write(kept)
        console.print(f"  {seconds:.0f} s", style="dim")
    parts = [part for section in SECTIONS if (part := Part.read(kept, section)) is not None]
    console.print(f"written: {write_page(asked.out, parts)}")


def _end(*_: object) -> None:
    """Children are ended on the way out, which a second signal must not cut short."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


if __name__ == "__main__":
    main()
