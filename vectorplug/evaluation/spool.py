"""Encoded texts in files that a killed process leaves usable: what is whole is read, the rest is encoded again."""

import errno
import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError
from vectorplug.multivectors import MultiVectors

__all__ = ["Spool", "spooled"]

JOURNAL = "chunks"


class Spool:
    """Vectors of the first `count` of some texts in `folder`, appended in whole chunks.

    Each kind of vector is a raw file of its numbers: tokens in `token_dtype`, fde and dense float32. The journal has a
    line for each chunk, with the lengths of its texts, the seconds that they took, and checksums; it is written last.
    On opening, everything from the first chunk on that is torn or damaged is cut off. Made by `spooled`, which locks.
    """

    def __init__(self, folder: Path, dims: Mapping[Output, int], token_dtype: str) -> None:
        self._folder = folder
        self._dims = dict(dims)
        self._dtypes = {name: np.dtype(token_dtype if name == "tokens" else "float32") for name in dims}
        self.lengths: list[int] = []
        self.truncated: list[int] = []
        self.seconds: list[float] = []
        for path in (folder / JOURNAL, *map(self._path, dims)):
            path.touch()
        self._cut(self._whole())

    @property
    def count(self) -> int:
        """How many texts are here."""
        return len(self.lengths)

    def append(self, encoded: Encoded, seconds: Sequence[float]) -> None:
        """Add n texts; `seconds` that each, or all of them together, took to encode.

        InputError where a number is too large for the dtype of the tokens, ConfigurationError where the disk is full.
        """
        assert encoded.tokens is not None
        truncated = [0] * len(encoded) if encoded.truncated is None else encoded.truncated.tolist()
        line: dict[str, Any] = {"lengths": encoded.tokens.lengths.tolist(), "truncated": truncated}
        line |= {"seconds": list(seconds), "crc": {}}
        try:
            for name in self._dims:
                part = self._bytes(name, encoded)
                line["crc"][name] = zlib.crc32(part)
                with self._path(name).open("ab") as file:
                    file.write(part)
            body = json.dumps(line).encode()
            with (self._folder / JOURNAL).open("ab") as file:
                file.write(b"%08x %s\n" % (zlib.crc32(body), body))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise ConfigurationError(
                f"{self._folder} is on a full disk, {self.count} texts are in it: make room and run it again, or name "
                "another folder for the cache."
            ) from error
        self._take(line)

    def encoded(self) -> Encoded:
        """All texts, memory-mapped; their files may be deleted from now on."""
        offsets = np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)]).astype(np.int64)
        parts: dict[str, Any] = {}
        for name, dim in self._dims.items():
            rows = int(offsets[-1]) if name == "tokens" else self.count
            mapped = np.memmap(self._path(name), self._dtypes[name], "r", shape=(rows, dim))
            parts[name] = MultiVectors._trusted(mapped, offsets) if name == "tokens" else mapped
        return Encoded(**parts, truncated=np.array(self.truncated, np.int64))

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.{self._dtypes[name].name}"  # type: ignore[index]

    def _bytes(self, name: Output, encoded: Encoded) -> bytes:
        if name == "tokens":
            assert encoded.tokens is not None
            return encoded.tokens.astype(self._dtypes[name]).values.tobytes()
        part: npt.NDArray[Any] = getattr(encoded, name)
        return part.astype(self._dtypes[name]).tobytes()

    def _take(self, line: Mapping[str, Any]) -> None:
        self.lengths += line["lengths"]
        self.truncated += line["truncated"]
        self.seconds += line["seconds"]

    def _whole(self) -> int:
        """Bytes of the journal's lines whose vectors are here as they were written; those are taken."""
        whole = 0
        with (self._folder / JOURNAL).open("rb") as journal:
            for raw in journal:
                body = raw[9:-1]
                if not raw.endswith(b"\n") or raw[:9] != b"%08x " % zlib.crc32(body):
                    break
                line = json.loads(body)
                if any(zlib.crc32(self._read(name, line)) != crc for name, crc in line["crc"].items()):
                    break
                self._take(line)
                whole += len(raw)
        return whole

    def _read(self, name: Output, line: Mapping[str, Any]) -> bytes:
        """The bytes of the chunk that comes next; fewer where the file ends before."""
        rows, more = (
            (sum(self.lengths), sum(line["lengths"])) if name == "tokens" else (self.count, len(line["lengths"]))
        )
        row = self._dims[name] * self._dtypes[name].itemsize
        with self._path(name).open("rb") as file:
            file.seek(rows * row)
            return file.read(more * row)

    def _cut(self, journal: int) -> None:
        os.truncate(self._folder / JOURNAL, journal)
        for name, dim in self._dims.items():
            rows = sum(self.lengths) if name == "tokens" else self.count
            os.truncate(self._path(name), rows * dim * self._dtypes[name].itemsize)


@contextmanager
def spooled(folder: Path, dims: Mapping[Output, int], token_dtype: str) -> Iterator[Spool]:
    """The spool in `folder`, which is made; ConfigurationError where another process is writing there,
    and where none can.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise ConfigurationError(
            f"the cache cannot be written, {error.filename}: {error.strerror}. Name another folder for the cache."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"another process is encoding the same texts into {folder}: wait for it, or name another folder for "
                "the cache."
            ) from error
        yield Spool(folder, dims, token_dtype)
    finally:
        os.close(descriptor)
