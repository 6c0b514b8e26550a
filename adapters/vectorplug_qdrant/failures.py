"""What the engine and the disk raise, as our errors."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vectorplug.errors import StoreError

__all__ = ["engine_errors", "no_room"]

NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
# Rust writes an error of the operating system as "(os error 28)" or "code: 28".
OS_ERROR = re.compile(r"(?:os error |code: )(\d+)")


def no_room(folder: Path, said: object) -> StoreError:
    """The error for a disk that takes no more."""
    return StoreError(
        f"the disk that holds {folder} takes no more ({said}). What was added before is safe: "
        "make room there, then the same add goes on where it stopped."
    )


@contextmanager
def engine_errors(folder: Path, doing: str) -> Iterator[None]:
    """Turn what the engine raises while `doing` something to the collection in `folder` into StoreError."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise no_room(folder, error) from error
        raise StoreError(f"{doing} collection {folder} failed: {error}.") from error
    except BaseException as error:
        # The engine raises plain Exception; a panic is a BaseException of a module that cannot be imported.
        if type(error) is not Exception and type(error).__module__ != "pyo3_runtime":
            raise
        if NO_ROOM.intersection(map(int, OS_ERROR.findall(str(error)))):
            raise no_room(folder, error) from error
        raise StoreError(
            f"{doing} collection {folder} failed in Qdrant's engine: {error}. If it is so again after the collection "
            "is opened anew, its files are damaged: restore them from a copy, or index into a new collection."
        ) from error
