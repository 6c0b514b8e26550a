"""Our models as `vectorplug/NAME` in the calls of a qdrant-client, wherever FastEmbed's are; see `register`."""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from vectorplug.encoded import Encoded, Output
from vectorplug.errors import ConfigurationError, InputError, ModelNotFoundError
from vectorplug.models.catalog import CatalogEntry, catalog, nearest
from vectorplug.models.names import PREFIX, Role, Wanted, parse
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug.vectorizer import Vectorizer, default_fde

if TYPE_CHECKING:
    from qdrant_client import models

    from vectorplug.residency.cache import ModelCache

__all__ = ["Registry", "register", "registry"]

# The client encodes a query and its prefetches one after the other; what stands in between is other threads' queries.
RECENT_QUERIES = 32


def register(
    vectorizer: TextVectorizer | None = None, *, name: str | None = None, cache: "ModelCache | None" = None
) -> None:
    """Make `vectorplug/...` models known to every `QdrantClient` and `AsyncQdrantClient` of this process.

    From then on `models.Document(text=..., model="vectorplug/NAME[:tokens|:fde|:dense][:query|:document]")` may stand
    wherever a client takes a vector. NAME is a short name or id of the catalogue (`vectorplug models`), loaded when
    it is first named, or a `vectorizer` that was registered: under `name`, without it under its own model's name.
    What is stored is encoded as a document and what is searched as a query, unless the name says which; without an
    output a model that was trained for MaxSim gives its tokens and every other its dense vector.

    `cache` is where models of the catalogue are leased from; without it one is made for them. Clients that exist
    already know the models, too. Calling it again adds to what is registered; a name that comes again is the newer
    vectorizer's. Thread-safe. Needs no FastEmbed, whose models stay what they are. Raises ConfigurationError where
    the qdrant-client that is installed is not one that this was made for.
    """
    # Here: who uses the embedded engine alone needs no client.
    from vectorplug_qdrant.hooks import hook

    hook()
    registry.add(vectorizer, name, cache)


class _Source:
    """A vectorizer, and what the last queries gave."""

    def __init__(self, vectorizer: TextVectorizer) -> None:
        self.vectorizer = vectorizer
        self._lock = threading.Lock()
        self._recent: dict[tuple[Role, str], Encoded] = {}

    @property
    def default_output(self) -> Output:
        """A fingerprint says of what kind a model is; what says nothing was made for tokens."""
        return "dense" if "#encoder-" in self.vectorizer.fingerprint else "tokens"

    def encode(self, role: Role, wanted: Mapping[str, set[Output]], *, is_query: bool) -> dict[str, Encoded]:
        """Text -> Encoded of one, with the outputs that are wanted of it, from one forward pass a text."""
        found: dict[str, Encoded] = {}
        if is_query:
            # A query's other vectors cost next to nothing beside its forward pass, and its prefetches ask for them.
            with self._lock:
                found = {text: self._recent[role, text] for text in wanted if (role, text) in self._recent}
            wanted = {text: set(self.vectorizer.dims) for text in wanted if text not in found}
        groups: dict[frozenset[Output], list[str]] = {}
        for text, outputs in wanted.items():
            groups.setdefault(frozenset(outputs), []).append(text)
        encode = self.vectorizer.encode_query if role == "query" else self.vectorizer.encode_document
        fresh: dict[str, Encoded] = {}
        for group, texts in groups.items():
            part = encode(texts, outputs=sorted(group), show_progress_bar=False)
            fresh |= {text: part.take(row) for row, text in enumerate(texts)}
        if is_query and fresh:
            with self._lock:
                self._recent |= {(role, text): encoded for text, encoded in fresh.items()}
                for oldest in list(self._recent)[:-RECENT_QUERIES]:
                    del self._recent[oldest]
        return found | fresh


class _Ask(NamedTuple):
    """One `Document`, understood."""

    source: _Source
    role: Role
    text: str
    output: Output
    dimensions: int | None


class Registry:
    """Names -> vectorizers: what was registered, and the catalogue's models as they are asked for. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: dict[str, _Source] = {}
        self._loaded: dict[str, _Source] = {}
        self._cache: ModelCache | None = None

    def add(self, vectorizer: TextVectorizer | None, name: str | None, cache: "ModelCache | None") -> None:
        """What `register` takes."""
        if vectorizer is None and name is not None:
            raise ConfigurationError(f"name={name!r} stands without a vectorizer: register(vectorizer, name={name!r}).")
        if name is not None and parse(name) != Wanted(name, None, None):
            raise ConfigurationError(
                f"name={name!r} has a part that says something else (vectorplug/, :tokens, :fde, :dense, :query, "
                f":document or :latest): use {parse(name).model!r}."
            )
        with self._lock:
            if cache is not None and cache is not self._cache:
                self._cache = cache
                self._loaded = {}
            if vectorizer is not None:
                key = name or vectorizer.model
                if key not in self._given or self._given[key].vectorizer is not vectorizer:
                    self._given[key] = _Source(vectorizer)

    def knows(self, name: str) -> bool:
        """Whether a model's name is meant for us: by `vectorplug/`, by an output, or as a short name.

        A bare id of the hub is not: FastEmbed may have a model of that name.
        """
        wanted = parse(name)
        is_short = wanted.model in catalog() or wanted.model in self._given
        return name.startswith(PREFIX) or wanted.output is not None or (is_short and "/" not in wanted.model)

    def vectors(
        self, documents: Sequence["models.Document | models.Image"], *, is_query: bool
    ) -> list[list[float] | list[list[float]]]:
        """One vector a `Document`, in order: numbers, or rows of them, one a token.

        All that is wanted of a text comes from one forward pass. Raises ModelNotFoundError, ConfigurationError for
        what the model does not give, InputError, and what loading and encoding raise.
        """
        asks = [self._understood(document, is_query) for document in documents]
        wanted: dict[tuple[_Source, Role], dict[str, set[Output]]] = {}
        for ask in asks:
            wanted.setdefault((ask.source, ask.role), {}).setdefault(ask.text, set()).add(ask.output)
        encoded = {
            (source, role): source.encode(role, texts, is_query=is_query) for (source, role), texts in wanted.items()
        }
        return [_vector(ask, encoded[ask.source, ask.role][ask.text]) for ask in asks]

    def described(self, name: str) -> tuple[Output, int]:
        """Which vector `name` means, and its numbers (of one token); loads a model of which the catalogue is silent."""
        wanted = parse(name)
        found = self._known(wanted.model).get(wanted.output)
        if found is None:
            source = self._source(wanted.model)
            output = wanted.output or source.default_output
            found = output, _dim(name, source, output)
        return found

    def listed(self) -> dict[str, tuple[Output, int]]:
        """As `described`, every name without a role of which this is known unloaded."""
        with self._lock:
            models = dict.fromkeys([*self._given, *catalog()])
        return {
            f"vectorplug/{model}" + (f":{asked}" if asked else ""): described
            for model in models
            for asked, described in self._known(model).items()
        }

    def _known(self, model: str) -> dict[Output | None, tuple[Output, int]]:
        """What a name with an output, or None, means; nothing where a model would have to be loaded to know."""
        with self._lock:
            given = self._given_source(model)
        entry = _entry(model)
        dims: dict[Output, int | None]
        if given is not None:
            dims, default = {**given.vectorizer.dims}, given.default_output
        elif entry is not None:
            fde = default_fde(entry.token_dim).size if entry.token_dim else None
            dims = {"tokens": entry.token_dim, "fde": fde, "dense": entry.dense_dim}
            default = "tokens" if entry.kind == "multi-vector" else "dense"
        else:
            return {}
        known: dict[Output | None, tuple[Output, int]] = {name: (name, dim) for name, dim in dims.items() if dim}
        return {None: known[default], **known} if default in known else known

    def _understood(self, document: "models.Document | models.Image", is_query: bool) -> _Ask:
        text = getattr(document, "text", None)
        if text is None:
            raise InputError(
                f"a {type(document).__name__} came for {document.model!r}, which reads texts: send models.Document."
            )
        wanted = parse(document.model)
        source = self._source(wanted.model)
        output = wanted.output or source.default_output
        dim = _dim(document.model, source, output)
        dimensions = _dimensions(document.model, dict(document.options or {}), output, dim)
        return _Ask(source, wanted.role or ("query" if is_query else "document"), text, output, dimensions)

    def _source(self, model: str) -> _Source:
        """The vectorizer of a name; ModelNotFoundError, with the nearest names."""
        entry = _entry(model)
        with self._lock:
            found = self._given_source(model) or (self._loaded.get(entry.id) if entry else None)
            if found is not None:
                return found
            if entry is None:
                raise ModelNotFoundError(
                    f"{model!r} is no model of the catalogue and was not registered.{nearest(model, self._given)} "
                    "For one of your own call vectorplug_qdrant.register(Vectorizer(...), name=...)."
                )
            if self._cache is None:
                from vectorplug.residency.cache import ModelCache

                self._cache = ModelCache()
            cache = self._cache
        # Without the lock, since it loads the model; the cache loads it once for all who ask meanwhile.
        made = _Source(Vectorizer(entry.id, cache=cache))
        with self._lock:
            return self._loaded.setdefault(entry.id, made) if cache is self._cache else made

    def _given_source(self, model: str) -> _Source | None:
        entry = _entry(model)
        return self._given.get(model) or (self._given.get(entry.id) if entry else None)


registry = Registry()


def _entry(model: str) -> CatalogEntry | None:
    """The entry of a short name or an id."""
    return catalog().get(model) or next((entry for entry in catalog().values() if entry.id == model), None)


def _dim(name: str, source: _Source, output: Output) -> int:
    dims = source.vectorizer.dims
    if output not in dims:
        raise ConfigurationError(
            f"{name!r} asks for {output!r} and its vectorizer was made with fde=None: register one with fde='default'."
        )
    return dims[output]


def _dimensions(name: str, options: Mapping[str, Any], output: Output, dim: int) -> int | None:
    """What `Document.options` may ask: the first numbers of each token, or of the dense vector, at unit norm."""
    if unknown := sorted(set(options) - {"dimensions"}):
        raise InputError(f"{name!r} came with options {', '.join(unknown)}; expected none but 'dimensions'.")
    dimensions = options.get("dimensions")
    if dimensions is None:
        return None
    if output == "fde":
        raise InputError(f"{name!r} is an FDE, which has one size: leave options['dimensions'] out.")
    if type(dimensions) is not int or not 1 <= dimensions <= dim:
        raise InputError(f"{name!r} came with dimensions {dimensions!r}, expected a whole number from 1 to {dim}.")
    return dimensions


def _vector(ask: _Ask, encoded: Encoded) -> list[float] | list[list[float]]:
    if ask.dimensions is not None:
        from vectorplug.models.options import shaped

        encoded = shaped(encoded, ask.dimensions, None, "float32")
    vector: list[float] | list[list[float]] = getattr(encoded, ask.output)[0].tolist()
    return vector
