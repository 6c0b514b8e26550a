"""The child's side: `python -m benchmarks.page.child`, by ours or by a peer's Python.

A line of JSON on standard input is a request, a line of JSON on standard output its answer:

    {"do": "prepare", "method": MODULE:FUNCTION, "folder": FOLDER, "options": {...}, "packages": [...]}
        -> {"works": [...], "facts": {...}, "versions": {...}}
    {"do": "turn", "work": NAME}    -> {"seconds": ...}
    {"do": "result", "work": NAME}  -> {"result": ...}: what it gives, as JSON
    {"do": "peak"}                  -> {"peak_mb": ...}: the most memory that this process has had

An error ends the process: its last line on standard error says why.
"""

import importlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path

__all__ = ["answer"]


def answer(request, works):
    """To one request; `works` is what was prepared, and changed by it."""
    what = request["do"]
    if what == "prepare":
        module, _, function = request["method"].partition(":")
        prepare = getattr(importlib.import_module(module), function)
        made, facts = prepare(Path(request["folder"]), **request["options"])
        works.update(made)
        return {"works": list(works), "facts": facts, "versions": {name: version(name) for name in request["packages"]}}
    if what == "turn":
        began = time.perf_counter()
        works[request["work"]]()
        return {"seconds": time.perf_counter() - began}
    if what == "result":
        return {"result": works[request["work"]]()}
    return {"peak_mb": _peak() / 1e6}


def _peak():
    """Bytes. Not getrusage's: a process inherits that from the one that started it."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return next(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def main():
    # Libraries print; what they print must not be taken for an answer.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    works = {}
    for line in sys.stdin:
        answers.write(json.dumps(answer(json.loads(line), works)) + "\n")


if __name__ == "__main__":
    main()
