"""What makes one vector of a text's tokens, and which one a fingerprint names."""

from typing import Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from vectorplug.errors import ConfigurationError, FingerprintError
from vectorplug.multivectors import MultiVectors

__all__ = [
    "Compressor",
    "FittedCompressor",
    "check_made_for",
    "compressor_of",
    "family_of",
    "is_fitted",
    "is_unfitted",
    "needs_fit",
]

UNFITTED: Final = "unfitted"


@runtime_checkable
class Compressor(Protocol):
    """Whatever makes one vector of a text's tokens, so that <query vector, document vector> follows their MaxSim."""

    @property
    def dim(self) -> int:
        """Numbers a token."""

    @property
    def size(self) -> int:
        """Numbers of the vector."""

    @property
    def fingerprint(self) -> str:
        """Short and stable; equal exactly where the vectors are. One that has to be fitted yet ends in ":unfitted"."""

    def encode_documents(self, tokens: MultiVectors) -> npt.NDArray[np.float32]:
        """float32 [n, size]."""

    def encode_queries(self, tokens: MultiVectors) -> npt.NDArray[np.float32]:
        """float32 [n, size]."""


@runtime_checkable
class FittedCompressor(Compressor, Protocol):
    """A compressor that its fingerprint alone does not make again: what it has learnt is `to_bytes`."""

    @property
    def encoder(self) -> str | None:
        """Fingerprint of the model whose tokens it was fitted to, where that is known."""

    def to_bytes(self) -> bytes:
        """What it has learnt, some megabytes, as its class reads it again."""


def compressor_of(fingerprint: str, artefact: bytes | None = None) -> Compressor:
    """The compressor that a fingerprint names: MUVERA by its parameters, Lemur by its fit, `artefact`.

    ConfigurationError for a fingerprint of neither, FingerprintError where `artefact` is another fit or none came,
    InputError where it is damaged.
    """
    family = family_of(fingerprint)
    if family == "muvera":
        from vectorplug.muvera import Muvera

        return Muvera.from_fingerprint(fingerprint)
    if family != "lemur" or fingerprint.endswith(f":{UNFITTED}"):
        raise ConfigurationError(
            f"{fingerprint!r} names no FDE that can be made again: expected one of MUVERA, muvera1:..., or of a fitted "
            "Lemur, lemur1:..."
        )
    if artefact is None:
        raise FingerprintError(
            f"{fingerprint} is a fit, which has to be at hand, and none came: give its file's bytes."
        )
    from vectorplug.lemur import Lemur

    lemur = Lemur.from_bytes(artefact)
    if lemur.fingerprint != fingerprint:
        raise FingerprintError(f"the fit at hand is {lemur.fingerprint}, expected {fingerprint}: give the right one.")
    return lemur


def check_made_for(compressor: Compressor, model: str, encoder: str, dim: int) -> None:
    """ConfigurationError where it cannot fold what `model` gives: tokens of `dim` numbers, made by `encoder`."""
    if compressor.dim != dim:
        raise ConfigurationError(
            f"the FDE {compressor.fingerprint} is made for tokens of {compressor.dim} numbers, {model} gives {dim}: "
            f"use dim={dim}, or the default FDE."
        )
    if isinstance(compressor, FittedCompressor) and compressor.encoder not in (None, encoder):
        raise ConfigurationError(
            f"the FDE {compressor.fingerprint} was fitted to tokens of {compressor.encoder}, {model} is {encoder}: "
            "fit one to this model's."
        )


def needs_fit(fingerprint: str | None) -> bool:
    """Whether the compressor of that fingerprint is made of a fit, and not of the fingerprint alone."""
    return fingerprint is not None and family_of(fingerprint) != "muvera"


def family_of(fingerprint: str) -> str:
    """Such as "muvera" of "muvera1:..."."""
    return fingerprint.partition(":")[0].rstrip("0123456789")


def is_fitted(compressor: Compressor | None) -> bool:
    """Whether it holds a fit, which has to be kept beside the vectors."""
    return isinstance(compressor, FittedCompressor) and not is_unfitted(compressor)


def is_unfitted(compressor: Compressor | None) -> bool:
    """Whether it has to be fitted before it encodes."""
    return compressor is not None and compressor.fingerprint.endswith(f":{UNFITTED}")
