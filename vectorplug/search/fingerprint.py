"""What a collection was made with, written beside its vectors and compared when it is opened again."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError
from pydantic.functional_validators import AfterValidator

from vectorplug.encoded import Output
from vectorplug.errors import ConfigurationError, FingerprintError, StoreError
from vectorplug.models.recipe import Recipe
from vectorplug.search.modes import Mode, plan_of

__all__ = ["CollectionInfo", "FdeDtype", "FdeVectors", "NotOursError", "StoredDtypes", "TokenDtype"]

TokenDtype = Literal["float32", "float16", "int8"]
FdeDtype = Literal["float32", "float16", "int8", "bit"]


def _stored_somehow(dims: dict[Output, int]) -> dict[Output, int]:
    if not dims:
        raise ValueError("a collection holds at least one kind of vector")
    return dims


class NotOursError(StoreError):
    """A collection of that name is there and was not made by vectorplug; `backfill` may adopt it."""


class StoredDtypes(BaseModel):
    """In which numbers a store keeps the tokens and the FDEs; each database has some of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: TokenDtype = "float32"
    fde: FdeDtype = "float32"


class FdeVectors(BaseModel):
    """FDEs of `size` numbers that lie under the name `vector`; `fde` is the fingerprint of what made them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fde: str | None
    size: PositiveInt
    vector: str


class CollectionInfo(BaseModel):
    """The model, FDE, stored vectors and default mode of one collection; JSON in the collection's own metadata.

    `encoder` is the vectorizer's fingerprint (model, revision, recipe); None where vectors came from elsewhere.
    `recipe` is what that vectorizer cuts beyond the checkpoint's own; None where it is the checkpoint's.
    `dims` gives the numbers of each stored kind of vector (of one token for "tokens"), `words` whether the text is
    indexed for BM25. `candidates` is how many a search ranks unless it says otherwise; None: 10 a hit, at least 100.
    `dtypes` are the numbers in which the vectors are kept. `adopted` is a collection that was there before, whose
    documents keep the database's own ids.
    `fde_vector` is the name under which the FDEs lie since a refit. `refit` are those that a refit is making: they are
    not searched yet. `former` are those from before it, until they are dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model: str | None = None
    encoder: str | None = None
    recipe: Recipe | None = None
    fde: str | None = None
    dims: Annotated[dict[Output, PositiveInt], AfterValidator(_stored_somehow)]
    mode: Mode
    candidates: PositiveInt | None = None
    dtypes: StoredDtypes = StoredDtypes()
    words: bool = False
    adopted: bool = False
    fde_vector: str | None = None
    refit: FdeVectors | None = None
    former: FdeVectors | None = None

    @property
    def vector_names(self) -> Mapping[Output, str]:
        """The names of those kinds of vectors that lie under another than their own."""
        return {} if self.fde_vector is None else {"fde": self.fde_vector}

    @property
    def refitted(self) -> Self:
        """The same once the FDEs that a refit made are those that are searched."""
        assert self.refit is not None
        before = FdeVectors(fde=self.fde, size=self.dims["fde"], vector=self.fde_vector or "fde")
        changed = {"fde": self.refit.fde, "fde_vector": self.refit.vector, "refit": None, "former": before}
        return self.model_copy(update={**changed, "dims": {**self.dims, "fde": self.refit.size}})

    @property
    def fingerprint(self) -> str:
        """One line that is equal exactly where the vectors may be mixed."""
        parts = [self.encoder or "vectors given"]
        if self.fde is not None and "fde" in self.dims:
            parts.append(self.fde)
        parts.append(" ".join(f"{name}={dim}" for name, dim in sorted(self.dims.items())))
        return " | ".join(parts)

    @classmethod
    def from_json(cls, text: str | bytes, source: str) -> Self:
        """What was written by `model_dump_json`; StoreError naming `source` for anything else."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise StoreError(
                f"{source} holds a description that this version cannot read: {error.errors()[0]['msg']}. "
                "It was written by another version or changed by hand; index into a new collection."
            ) from error

    def check_same_vectors(self, opened: "CollectionInfo", collection: str) -> None:
        """Raise FingerprintError unless vectors made as `opened` says may be searched among those stored here.

        `opened` may ask for fewer kinds of vectors than are stored, never for others.
        """
        stored_fde = self.fde if "fde" in opened.dims else None
        opened_fde = opened.fde if "fde" in opened.dims else None
        shared = {name: self.dims.get(name) for name in opened.dims if name in self.dims}
        if (
            self.encoder == opened.encoder
            and stored_fde == opened_fde
            and all(opened.dims[name] == dim for name, dim in shared.items())
        ):
            return
        raise FingerprintError(
            f"collection {collection!r} was made with [{self.fingerprint}], it is opened with "
            f"[{opened.fingerprint}]: their vectors cannot be mixed. Open it with the same model and FDE "
            "(leave vectorizer out to use those it was made with), or index into a new collection."
        )

    def check_dtypes(self, wanted: StoredDtypes, collection: str) -> None:
        """Raise ConfigurationError where the vectors that are stored are kept in other numbers than `wanted`."""
        for name in ("tokens", "fde"):
            stored, asked = getattr(self.dtypes, name), getattr(wanted, name)
            if name in self.dims and stored != asked:
                raise ConfigurationError(
                    f"collection {collection!r} keeps its {name} in {stored}, the config asks for {asked}: index into "
                    "a new collection, or correct the config."
                )

    def check_mode(self, mode: str, collection: str) -> None:
        """Raise ConfigurationError where the vectors that `mode` needs are not stored."""
        plan = plan_of(mode)
        missing = [
            *(name for name in plan.outputs if name not in self.dims),
            *(["the words of the text"] if plan.words > self.words else []),
        ]
        if missing:
            raise ConfigurationError(
                f"mode {mode!r} needs {' and '.join(missing)}, collection {collection!r} stores "
                f"{', '.join(sorted(self.dims))}. Search it with mode {self.mode!r}, or index it again with {mode!r}."
            )
