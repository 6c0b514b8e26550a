"""What a model's name in a request means, and which models may be named."""

from collections.abc import Mapping

from vectorplug.errors import ModelNotFoundError
from vectorplug.models.catalog import CatalogEntry, catalog, nearest, resolve
from vectorplug.models.files import is_here
from vectorplug.models.names import Wanted, parse

__all__ = ["Names", "Wanted"]


class Names:
    """The models that requests may name: the operator's, and those of the catalogue that are on this machine.

    `allowed` maps a request's name to what it loads (a short name, a hub id, a folder, `package:NAME`); the first is
    the default. ModelNotFoundError where there is no such model. Nothing else that stands in a request is ever looked
    up in a folder or on the hub.
    """

    def __init__(self, allowed: Mapping[str, str]) -> None:
        self.default = next(iter(allowed))
        self._allowed = {name: resolve(model).name for name, model in allowed.items()}
        self._here: set[str] = set()

    def served(self) -> list[str]:
        """Every name that can be served now, the default first."""
        return list(dict.fromkeys([*self._allowed, *(name for name, e in catalog().items() if self._is_here(e))]))

    def wanted(self, name: str | None) -> Wanted:
        """What a request's name asks for, of the default model without one; ModelNotFoundError if it is not served."""
        if not name:
            return Wanted(self._allowed[self.default], None, None)
        if name in self._allowed:  # first of all: a name that the operator chose may look like one with a suffix
            return Wanted(self._allowed[name], None, None)
        wanted = parse(name)
        return wanted._replace(model=self._loadable(wanted.model))

    def _loadable(self, model: str) -> str:
        if model in self._allowed:
            return self._allowed[model]
        entry = catalog().get(model) or next((e for e in catalog().values() if e.id == model), None)
        if entry is None:
            raise ModelNotFoundError(f"the model {model!r} is not served here.{nearest(model, self._allowed)}")
        if not self._is_here(entry):
            raise ModelNotFoundError(
                f"the model {model!r} is in the catalogue and not on this server: run `vectorplug models pull "
                f"{entry.name}` there, or start it with --allow-models {entry.name}."
            )
        return entry.id

    def _is_here(self, entry: CatalogEntry) -> bool:
        if entry.id not in self._here and is_here(entry.id):
            self._here.add(entry.id)
        return entry.id in self._here
