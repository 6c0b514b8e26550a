"""What may be set from outside: `VECTORPLUG_MODEL=...` is `--model` on the command line, and so on."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from vectorplug.errors import ConfigurationError

__all__ = ["Settings", "settings"]


class Settings(BaseSettings):
    """Defaults of the command line; each is an environment variable `VECTORPLUG_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="VECTORPLUG_", extra="ignore")

    store: str = "edge:./vectorplug-index"
    collection: str = "docs"
    store_api_key: SecretStr | None = None
    """What a database server asks for, where the store is opened by its URL."""
    model: str | None = None
    """None: the default ColBERT where the hub or its cache has it, else the packaged MiniLM."""
    memory_budget: int | str = "80%"
    """Of a `ModelCache`: bytes, or a percent of the device (on a CPU: of the process's limit)."""
    host_budget: int | str | None = None
    """Of its host tier: bytes, or a percent of the host. None: half of it for a GPU, nothing for a CPU."""
    device: str = "auto"
    dtype: str = "auto"

    # Of `vectorplug serve`.
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8090
    api_keys: Annotated[list[SecretStr], NoDecode] = []
    """Whoever sends one may ask; separated by commas. None: the server listens on loopback only."""
    api_key_file: Path | None = None
    """More keys, one a line."""
    allow_models: Annotated[dict[str, str], NoDecode] = {}
    """What requests may load beyond the catalogue's models on this machine: NAME or NAME=MODEL, with commas."""
    fde: Annotated[dict[str, str], NoDecode] = {}
    """What folds tokens, with commas: FDE of the default model, NAME=FDE of another; a file of `Lemur.save`, or a
    fingerprint of MUVERA."""
    vectors: Annotated[dict[str, str], NoDecode] = {}
    """Stored tokens that `POST /v1/score` may score: NAME=FILE, as `MultiVectors.save` writes them, with commas."""
    truncate: bool = False
    """Cut texts that are too long also where the vendor's format would refuse them."""
    max_body_bytes: Annotated[int, Field(ge=1)] = 32 * 2**20
    max_texts: Annotated[int, Field(ge=1)] = 2048
    max_request_tokens: Annotated[int, Field(ge=1)] = 524_288
    queue_tokens: Annotated[int, Field(ge=1)] = 262_144
    """Tokens that may wait for one model before requests are turned away."""
    request_timeout: Annotated[float, Field(gt=0)] = 300.0
    """Seconds, the load of a model included."""
    drain_timeout: Annotated[int, Field(ge=0)] = 30
    """Seconds that running requests have after SIGTERM."""

    @field_validator("api_keys", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """`a,b` -> [a, b]."""
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("allow_models", "vectors", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """`a,b=c` -> {a: a, b: c}."""
        if not isinstance(value, str):
            return value
        parts = (part.strip().partition("=") for part in value.split(",") if part.strip())
        return {name.strip(): (target or name).strip() for name, _, target in parts}

    @field_validator("fde", mode="before")
    @classmethod
    def _of_models(cls, value: Any) -> Any:
        """`a,b=c` -> {"": a, b: c}: without a name it is the default model's."""
        if not isinstance(value, str):
            return value
        parts = (part.strip().rpartition("=") for part in value.split(",") if part.strip())
        return {name.strip(): target.strip() for name, _, target in parts}

    def with_(self, **changes: Any) -> "Settings":
        """These settings, some of them replaced and checked; ConfigurationError as for variables."""
        return _checked(
            lambda: Settings(**{**{name: getattr(self, name) for name in self.model_fields_set}, **changes})
        )


@cache
def settings() -> Settings:
    """Read once; ConfigurationError names a variable whose value cannot be used."""
    return _checked(Settings)


def _checked(make: Callable[[], Settings]) -> Settings:
    try:
        return make()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(f"VECTORPLUG_{name} cannot be used: {first['msg']}.") from error
