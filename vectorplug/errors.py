"""Every error that vectorplug raises on purpose.

VectorplugError
├── ConfigurationError        settings, wrong mode, unknown dialect
├── InputError                empty or ragged vectors, wrong dim, NaN
│   └── TooLongError          more tokens than the model reads, where cutting was not allowed
├── ModelError
│   ├── ModelNotFoundError    with the nearest names
│   ├── ModelLoadError        any other failure to load, and these classes of it:
│   │   ├── DamagedModelError     a checksum, a cut file, files of different models
│   │   ├── GatedModelError       terms to accept, a login
│   │   ├── HubUnreachableError   not on this machine, and no way to the hub
│   │   ├── MissingFileError      no configuration, weights or tokenizer
│   │   ├── UnsafeModelError      a pickle that would run code
│   │   └── UnsupportedModelError an architecture or a layout that is not known
│   └── OutOfMemoryError      what was asked, what was free, what is held
├── StoreError
│   ├── FingerprintError      names both fingerprints
│   ├── StoreUnavailableError the database does not answer, or another process holds the folder
│   └── PartialFailureError   what went in, what did not, how to resume
└── OverloadedError           come back later

A message says what came, what was expected and the fix.
"""

__all__ = [
    "ConfigurationError",
    "DamagedModelError",
    "FingerprintError",
    "GatedModelError",
    "HubUnreachableError",
    "InputError",
    "MissingFileError",
    "ModelError",
    "ModelLoadError",
    "ModelNotFoundError",
    "OutOfMemoryError",
    "OverloadedError",
    "PartialFailureError",
    "StoreError",
    "StoreUnavailableError",
    "TooLongError",
    "UnsafeModelError",
    "UnsupportedModelError",
    "VectorplugError",
]


class VectorplugError(Exception):
    """The root: catch this to catch everything that vectorplug raises on purpose."""


class ConfigurationError(VectorplugError):
    """A setting, mode, dialect or combination of them that cannot work."""


class InputError(VectorplugError, ValueError):
    """Data that cannot be used; `index` is its position in the caller's list where that is known."""

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class TooLongError(InputError):
    """A text of `tokens` tokens where the model reads `limit`, and cutting it was not allowed."""

    def __init__(self, message: str, *, index: int | None = None, tokens: int, limit: int) -> None:
        super().__init__(message, index=index)
        self.tokens = tokens
        self.limit = limit


class ModelError(VectorplugError):
    """A model that cannot be found, loaded or run."""


class ModelNotFoundError(ModelError):
    """No model of that name; the message holds the nearest names."""


class ModelLoadError(ModelError):
    """The model was found but cannot be loaded; the message says which file or check failed."""


class DamagedModelError(ModelLoadError):
    """A file is cut short or not the one that was meant, or the files belong to different models."""


class GatedModelError(ModelLoadError):
    """The hub wants its terms accepted and a login."""


class HubUnreachableError(ModelLoadError):
    """The model is not on this machine and the hub cannot be reached."""


class MissingFileError(ModelLoadError):
    """The checkpoint lacks its configuration, weights or tokenizer."""


class UnsafeModelError(ModelLoadError):
    """The weights are a pickle that would run code; nothing of it was run."""


class UnsupportedModelError(ModelLoadError):
    """An architecture or a layout that the libraries do not know without code of the checkpoint's own."""


class OutOfMemoryError(ModelError):
    """The device has too little memory; the message says what was asked, free and held."""


class StoreError(VectorplugError):
    """A collection that cannot be opened, read or written."""


class FingerprintError(StoreError):
    """The collection was made with another model or FDE; the message names both fingerprints."""


class StoreUnavailableError(StoreError):
    """The database does not answer, or another process holds the folder."""


class PartialFailureError(StoreError):
    """Some documents went in and some did not; `failed` holds (id, reason) of those that did not."""

    def __init__(self, message: str, *, failed: "list[tuple[object, str]]") -> None:
        super().__init__(message)
        self.failed = failed


class OverloadedError(VectorplugError):
    """More work is waiting than is accepted; try again after `retry_after` seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
