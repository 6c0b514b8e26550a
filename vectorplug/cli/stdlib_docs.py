"""The documentation of Python's own standard library as a corpus: real texts that are on every machine."""

import ast
import builtins
import inspect
import itertools
import math
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = ["stdlib_docs"]

# Sources are parsed, never imported: some modules of the library draw windows or open browsers when they are.
SKIPPED = {"antigravity", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "this", "turtledemo"}
BUILT_IN: tuple[ModuleType, ...] = (builtins, itertools, math, time)
LEAST_CHARACTERS = 80


def stdlib_docs() -> Iterator[tuple[str, str]]:
    """(name, text) of every public module, class and function with a docstring worth reading, in a fixed order."""
    seen: set[str] = set()
    for name, signature, documentation in itertools.chain(_built_in(), _sources()):
        if len(documentation) >= LEAST_CHARACTERS and name not in seen:
            seen.add(name)
            yield name, f"{name}{signature}: {documentation}"


def _sources() -> Iterator[tuple[str, str, str]]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in _files(root):
        parts = path.relative_to(root).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue  # the library ships a few files that are broken on purpose
        yield from _documented(tree, module)


def _files(folder: Path) -> Iterator[Path]:
    """Public .py files in and below a folder; the folders that are skipped are not entered."""
    for path in sorted(folder.iterdir()):
        public = not path.name.startswith("_") or path.name == "__init__.py"
        if path.is_dir() and public and path.name not in SKIPPED:
            yield from _files(path)
        elif path.suffix == ".py" and public and path.stem not in SKIPPED:
            yield path


def _documented(node: ast.AST, name: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        signature = f"({ast.unparse(node.args)})" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""
        if documentation := ast.get_docstring(node):
            yield name, signature, documentation
    if isinstance(node, ast.Module | ast.ClassDef):
        for child in node.body:
            child_name = getattr(child, "name", "_")
            if not child_name.startswith("_"):
                yield from _documented(child, f"{name}.{child_name}")


def _built_in() -> Iterator[tuple[str, str, str]]:
    for module in BUILT_IN:
        prefix = "" if module is builtins else f"{module.__name__}."
        for name, member in sorted(vars(module).items()):
            if name.startswith("_") or not callable(member):
                continue
            yield f"{prefix}{name}", "", inspect.getdoc(member) or ""
            for method, value in sorted(vars(member).items()) if inspect.isclass(member) else ():
                if not method.startswith("_"):
                    yield f"{prefix}{name}.{method}", "", _own_doc(value)


def _own_doc(value: Any) -> str:
    return inspect.cleandoc(value.__doc__) if isinstance(value.__doc__, str) else ""
