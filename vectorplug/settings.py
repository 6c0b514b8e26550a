"""What may be set from outside: `VECTORPLUG_MODEL=...` is `--model` on the command line, and so on."""

from functools import cache

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from vectorplug.errors import ConfigurationError

__all__ = ["Settings", "settings"]


class Settings(BaseSettings):
    """Defaults of the command line; each is an environment variable `VECTORPLUG_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="VECTORPLUG_", extra="ignore")

    store: str = "edge:./vectorplug-index"
    collection: str = "docs"
    model: str | None = None
    """None: the default ColBERT where the hub or its cache has it, else the packaged MiniLM."""
    memory_budget: int | str = "80%"
    """Of a `ModelCache`: bytes, or a percent of the device (on a CPU: of the process's limit)."""
    host_budget: int | str | None = None
    """Of its host tier: bytes, or a percent of the host. None: half of it for a GPU, nothing for a CPU."""
    device: str = "auto"
    dtype: str = "auto"


@cache
def settings() -> Settings:
    """Read once; ConfigurationError names a variable whose value cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise ConfigurationError(f"VECTORPLUG_{name} cannot be used: {first['msg']}.") from error
