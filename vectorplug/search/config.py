"""How a collection is to be made, as a file: what `vectorplug tune` recommends and `vectorplug index` takes."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, PositiveInt, PrivateAttr, Tag, ValidationError

from vectorplug.compressor import Compressor
from vectorplug.errors import ConfigurationError
from vectorplug.lemur import Lemur
from vectorplug.models.recipe import Recipe
from vectorplug.muvera import Muvera
from vectorplug.muvera.dialects import Dialect
from vectorplug.search.fingerprint import FdeDtype, TokenDtype
from vectorplug.search.modes import Mode

if TYPE_CHECKING:
    from vectorplug.residency.cache import ModelCache
    from vectorplug.vectorizer import Vectorizer

__all__ = ["FdeConfig", "IndexConfig", "LemurConfig", "MuveraConfig", "StoreConfig", "TokensConfig"]

_table = ConfigDict(frozen=True, extra="forbid", strict=True)


class MuveraConfig(BaseModel):
    """The parameters of a `Muvera`; its `dim` is the model's. Without `dproj` it is 16, or the model's dim if less."""

    model_config = _table

    kind: Literal["muvera"] = "muvera"
    dialect: Dialect = "fastembed"
    repetitions: PositiveInt = 20
    ksim: Annotated[int, Field(ge=0, le=10)] = 5
    dproj: PositiveInt | Literal["identity"] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    fill: bool = False
    unit_norm: bool = False
    final_dim: PositiveInt | None = None

    @classmethod
    def of(cls, muvera: Muvera) -> Self:
        """The parameters of that one."""
        given = {name: getattr(muvera, name) for name in cls.model_fields if name not in ("kind", "dproj")}
        return cls(dproj="identity" if muvera.dproj is None else muvera.dproj, **given)

    def compressor(self, dim: int) -> Muvera:
        """The Muvera for tokens of `dim` numbers; ConfigurationError where there is none."""
        options = self.model_dump(exclude={"kind", "dproj"}, exclude_none=True)
        dproj = min(16, dim) if self.dproj is None else None if self.dproj == "identity" else self.dproj
        return Muvera(dim=dim, dproj=dproj, **options)


class LemurConfig(BaseModel):
    """The parameters of a `Lemur`, which is fitted to the texts that come first; its `dim` is the model's."""

    model_config = _table

    kind: Literal["lemur"] = "lemur"
    size: PositiveInt = Lemur.size
    features: PositiveInt | None = None
    samples: PositiveInt = Lemur.samples
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Lemur.seed

    def compressor(self, dim: int) -> Lemur:
        """The Lemur for tokens of `dim` numbers, not fitted; ConfigurationError where there is none."""
        return Lemur(dim=dim, **self.model_dump(exclude={"kind"}))


def _kind(said: Any) -> str:
    """Of a table, or of what was made of one; MUVERA where it does not say."""
    return str(said.get("kind", "muvera") if isinstance(said, Mapping) else getattr(said, "kind", "muvera"))


FdeConfig = Annotated[
    Annotated[MuveraConfig, Tag("muvera")] | Annotated[LemurConfig, Tag("lemur")], Discriminator(_kind)
]


class TokensConfig(Recipe):
    """What is cut of the tokens, and how the store keeps their numbers."""

    dtype: TokenDtype = "float32"


class StoreConfig(BaseModel):
    """How the store keeps the other vectors."""

    model_config = _table

    fde_dtype: FdeDtype = "float32"


class IndexConfig(BaseModel):
    """Model, mode, candidates, FDE, tokens and numbers of a collection; all have defaults.

    `model` None is the default one, `candidates` None 10 a hit and at least 100.
    """

    model_config = _table

    model: str | None = None
    mode: Mode = "fde+rerank"
    candidates: PositiveInt | None = None
    fde: FdeConfig = MuveraConfig()
    tokens: TokensConfig = TokensConfig()
    store: StoreConfig = StoreConfig()

    _source: str = PrivateAttr("the config")

    def __eq__(self, other: object) -> bool:
        # Where it was read is no part of it.
        return isinstance(other, IndexConfig) and self.to_toml() == other.to_toml()

    def __hash__(self) -> int:
        return hash(self.to_toml())

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """What a TOML file says; ConfigurationError names the file, the key, what came and what was expected."""
        try:
            said = tomllib.loads(Path(path).read_text("utf-8"))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{path} is no TOML: {error}.") from error
        return cls.of(said, str(path))

    @classmethod
    def of(cls, said: Mapping[str, Any], source: str = "the config") -> Self:
        """What tables and keys say, as in JSON; errors as of `read`."""
        try:
            config = cls(**said)
        except ValidationError as error:
            raise ConfigurationError(f"{source}: {_told(error)}") from error
        config._source = source
        return config

    def of_family(self, kind: str | None) -> Self:
        """The same with the FDE of that family, "muvera" or "lemur", at its defaults; as it is for None or its own.

        ConfigurationError for another name.
        """
        if kind in (None, self.fde.kind):
            return self
        return type(self).of({**self.model_dump(exclude_none=True), "fde": {"kind": kind}}, self._source)

    def to_toml(self) -> str:
        """The file that says so."""
        lines: list[str] = []
        for name, value in self.model_dump(exclude_none=True).items():
            if not isinstance(value, dict):
                lines.append(f"{name} = {_literal(value)}")
            elif value:
                lines += ["", f"[{name}]", *(f"{key} = {_literal(each)}" for key, each in value.items())]
        return "\n".join(lines) + "\n"

    def write(self, path: str | Path) -> None:
        """Write the file that `read` reads."""
        Path(path).write_text(self.to_toml(), "utf-8")

    def compressor(self, dim: int) -> Compressor:
        """What folds tokens of `dim` numbers; one of a family that is fitted is not fitted yet."""
        return self.fde.compressor(dim)

    def vectorizer(
        self,
        model: str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        cache: "ModelCache | None" = None,
    ) -> "Vectorizer":
        """The vectorizer of such a collection; `model` goes before the one that the config names.

        ConfigurationError for what the model cannot obey: more tokens than it reads, say.
        """
        from vectorplug.models.default import default_model
        from vectorplug.vectorizer import Vectorizer

        name = model or self.model or default_model()
        recipe = {each: getattr(self.tokens, each) for each in Recipe.model_fields}
        try:
            return Vectorizer(name, fde=self.compressor, device=device, dtype=dtype, cache=cache, **recipe)
        except ConfigurationError as error:
            raise ConfigurationError(f"{self._source}, with model {name}: {error}") from error


KINDS: dict[str, type[BaseModel]] = {"muvera": MuveraConfig, "lemur": LemurConfig}
TABLES: dict[str, type[BaseModel]] = {"tokens": TokensConfig, "store": StoreConfig}


def _told(error: ValidationError) -> str:
    """The first thing that is wrong: key, what came, what was expected."""
    first = error.errors()[0]
    table, *within = map(str, first["loc"])
    if first["type"] == "union_tag_invalid":
        return f"{table}.kind is {first['ctx']['tag']!r}, expected {' or '.join(map(repr, KINDS))}."
    if table == "fde" and within:
        # Behind the table stands its kind, behind the key which member of a union was tried.
        known, within, behind = KINDS[within[0]], within[1:], 3
    else:
        known, behind = TABLES.get(table, IndexConfig), 2 if table in TABLES else 1
    key = ".".join((table, *within)[: 2 if table in (*TABLES, "fde") else 1])
    if first["type"] == "extra_forbidden":
        return f"{key} is no key; expected one of {', '.join(known.model_fields)}."
    if first["type"] == "model_type":
        return f"{key} is {first['input']!r}, expected a table."
    tried = (each["msg"] for each in error.errors() if each["loc"][:behind] == first["loc"][:behind])
    expected = " or ".join(dict.fromkeys(said.removeprefix("Input should be ") for said in tried))
    return f"{key} is {first['input']!r}, expected {expected}."


def _literal(value: str | bool | int | float) -> str:
    # A string of JSON is one of TOML, but for the one control character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
