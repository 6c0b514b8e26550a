"""Where an embedded collection lies on disk, who may open it, and how it comes into being all at once."""

import fcntl
import os
import shutil
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from vectorplug.errors import ConfigurationError, StoreError, StoreUnavailableError
from vectorplug.search.fingerprint import CollectionInfo

__all__ = ["CollectionFolder"]


class CollectionFolder:
    """FOLDER/COLLECTION/ holds `collection.json`, the engine's `shard/`, and `fits/` where its FDEs were made with one;
    FOLDER/COLLECTION.lock holds its one user's pid.

    The folder appears by a rename once both are whole, so there is no half-made collection. The lock is the
    kernel's (flock): it ends with the process, however that ends.
    """

    def __init__(self, folder: Path, collection: str) -> None:
        if not collection or collection.startswith(".") or Path(collection).name != collection:
            raise ConfigurationError(f"collection {collection!r} is no name of a folder: leave out dots and slashes.")
        self.path = folder / collection
        self.shard = self.path / "shard"
        self._folder = folder
        self._info = self.path / "collection.json"
        self._lock_file = folder / f"{collection}.lock"
        self._staging = folder / f".{collection}.new"
        self.unlock: Callable[[], object] = _nothing

    def exists(self) -> bool:
        """Whether there is such a collection."""
        return self._info.is_file()

    def read_info(self) -> CollectionInfo:
        """What the collection was made with; StoreError for a damaged file."""
        return CollectionInfo.from_json(self._info.read_bytes(), str(self._info))

    def write_info(self, info: CollectionInfo) -> None:
        """What the collection is made of from now on, whole or not at all."""
        new = self._info.with_suffix(".new")
        _write(new, info)
        new.rename(self._info)
        _sync(self.path)

    def lock(self) -> None:
        """Keep everyone else out until `unlock`; StoreUnavailableError names who is in."""
        descriptor = os.open(self._lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            who = "another store in this process" if pid == str(os.getpid()) else f"process {pid or '(unknown)'}"
            raise StoreUnavailableError(
                f"collection {self.path} is in use by {who}; an embedded collection has one user at a time. "
                "Close it there, or run a Qdrant server for several."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self.unlock = weakref.finalize(self, os.close, descriptor)

    def write_fit(self, fingerprint: str, data: bytes) -> None:
        """Keep a fit in the collection that is there, whole or not at all."""
        _write_fit(self.path, fingerprint, data)

    def read_fit(self, fingerprint: str) -> bytes | None:
        """What was kept; None where it is not there."""
        file = _fit_in(self.path, fingerprint)
        return file.read_bytes() if file.is_file() else None

    def drop_fit(self, fingerprint: str) -> None:
        """Remove a fit, if it is there."""
        _fit_in(self.path, fingerprint).unlink(missing_ok=True)

    def create(
        self, info: CollectionInfo, make_shard: Callable[[Path], None], fits: Mapping[str, bytes] = MappingProxyType({})
    ) -> None:
        """Lock, and make the collection with its `fits`; `make_shard` fills a path that does not exist yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.lock()
        try:
            self._check_free()
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging.mkdir()
            for fingerprint, data in fits.items():
                _write_fit(self._staging, fingerprint, data)
            make_shard(self._staging / self.shard.name)
            _write(self._staging / self._info.name, info)
            _sync(self._staging)
            self._staging.rename(self.path)
            _sync(self._folder)
        except BaseException:
            self.unlock()
            raise

    def _check_free(self) -> None:
        if self.exists():
            raise StoreUnavailableError(f"collection {self.path} was made by another store just now: open it again.")
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise StoreError(
                f"{self.path} is there and holds something else than a collection (no {self._info.name}): "
                "choose another folder or another name for the collection."
            )


def _nothing() -> None:
    pass


def _write(file: Path, info: CollectionInfo) -> None:
    with open(file, "w", encoding="utf-8") as opened:
        opened.write(info.model_dump_json(indent=1))
        opened.flush()
        os.fsync(opened.fileno())


def _fit_in(folder: Path, fingerprint: str) -> Path:
    return folder / "fits" / fingerprint.replace(":", "-")


def _write_fit(folder: Path, fingerprint: str, data: bytes) -> None:
    file = _fit_in(folder, fingerprint)
    file.parent.mkdir(exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    with open(new, "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    new.rename(file)
    _sync(file.parent)
    _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
