"""numba kernels kept on disk: compiled once on a machine, then read, and never after what they are made of changed."""

import hashlib
import inspect
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core import event as untyped_event

__all__ = ["digest_of", "kept"]

Function = TypeVar("Function", bound=Callable[..., Any])

event: Any = untyped_event
logger = logging.getLogger(__name__)


def digest_of(*modules: str) -> str:
    """16 hexadecimal digits that another source of any of the `modules`, by their imported names, changes."""
    sources = [Path(inspect.getfile(sys.modules[name])).read_bytes() for name in modules]
    return hashlib.sha256(b"".join(sources)).hexdigest()[:16]


def kept(function: Function, signature: Any = None, *, digest: str, fastmath: bool | set[str] = False) -> Function:
    """`function` as numba compiles it, without the GIL, kept on disk where there is a folder for it.

    numba's cache watches only the file of the function, so a tile which another file generates could change unseen. It
    names its own files by the function's qualified name: `digest`, of all that the code is made of, becomes a part.
    With a `signature` it is compiled, or read, at once; else when it is first called.
    """
    function.__qualname__ += f"-{digest}"
    try:
        return cast(Function, numba.njit(signature, nogil=True, cache=True, fastmath=fastmath)(function))
    except RuntimeError:
        # No folder that a cache could be written to, as in a read-only container.
        return cast(Function, numba.njit(signature, nogil=True, fastmath=fastmath)(function))


class _Notice(event.Listener):  # type: ignore[misc]
    """Says, once in a process, that one of our kernels was not found on the disk."""

    said = False

    def on_start(self, compilation: Any) -> None:
        if not self.said and compilation.data["dispatcher"].py_func.__module__.startswith("vectorplug."):
            self.said = True
            logger.info("Compiling kernels for this CPU: once, some seconds each.")

    def on_end(self, compilation: Any) -> None:
        pass


event.register("numba:compile", _Notice())
