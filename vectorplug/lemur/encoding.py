"""Lemur as a value: its parameters, and what a fit adds to them."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.integers import checked_integer
from vectorplug.lemur.fitted import Drift, Fit
from vectorplug.multivectors import MultiVectors

__all__ = ["Lemur"]

MAX_SEED: Final = 2**31 - 1
DEFAULT_FEATURES: Final = 256


@dataclass(frozen=True, kw_only=True)
class Lemur:
    """One vector a text, fitted: <query vector, document vector> is about MaxSim, less a constant of the query.

    It encodes once it is fitted: `fit` gives a fitted Lemur, and so does `open`. Vectors can be compared only under one
    `fingerprint`, by inner product.

    dim       numbers a token
    size      numbers of the vector, at most `features` + `dim`
    features  of a token that are trained, at least 1, beside its own `dim` numbers; a document is solved in all of
              them, of which `size` numbers keep the most. More find more, and cost the query and the fit. Without a
              number 256, or as many more as `size` needs
    samples   tokens that stand for those of queries, at least 1: more are better, and slower for documents
    seed      0 to 2^31 - 1: of the features and of what is sampled
    encoder   fingerprint of the vectorizer whose tokens it was fitted to, where the one who fitted it had one

    Raises ConfigurationError. Source: arXiv 2601.21853 (learnt features and the regression); what `size` keeps is
    reduced-rank regression (Izenman 1975).
    """

    dim: int
    size: int = 512
    features: int | None = None
    samples: int = 8192
    seed: int = 42
    fitted: Fit | None = field(default=None, repr=False)
    encoder: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        dim = self._checked("dim", 1)
        size = self._checked("size", 1)
        if self.features is None:
            object.__setattr__(self, "features", max(size - dim, DEFAULT_FEATURES))
        features = self._checked("features", 1)
        if size > features + dim:
            raise ConfigurationError(
                f"size is {size}, expected at most the {features} features and {dim} numbers of a token that it is "
                "made of."
            )
        self._checked("samples", 1)
        self._checked("seed", 0, MAX_SEED)
        if self.fitted is not None and (self.fitted.dim, self.fitted.features, self.fitted.size) != (
            self.dim,
            features,
            size,
        ):
            raise ConfigurationError(
                f"the fit has dim {self.fitted.dim}, {self.fitted.features} features and size {self.fitted.size}; "
                f"this Lemur has dim {self.dim}, {features} features and size {size}: fit it again."
            )

    @property
    def fingerprint(self) -> str:
        """The parameters and a hash of the fit, such as "lemur1:d128:m512:f384:n8192:s42:0123456789abcdef"."""
        numbers = f"d{self.dim}:m{self.size}:f{self.features}:n{self.samples}:s{self.seed}"
        return f"lemur1:{numbers}:{'unfitted' if self.fitted is None else self.fitted.digest[:16]}"

    def fit(self, tokens: MultiVectors | Iterable[MultiVectors], queries: MultiVectors | None = None) -> Self:
        """A fitted Lemur; this one stays as it is. `tokens`: documents, whole or in parts, each read once.

        `queries` are texts encoded as queries, with as many tokens as `samples`: real ones of its users find most, else
        `pseudo_queries`; never those that it is judged by. Without them tokens of the documents stand for those of
        queries. 2,048 documents are kept of however many come, at most 2^19 tokens, drawn by `seed`: the memory
        of a fit is theirs, and some 250 MB at the default parameters. Parts give the same as a whole.
        The same input on the same machine gives the same bits.

        InputError where there is no document, another dim, NaN or infinity, numbers beyond float16, or nothing but
        equal tokens. A collection of fewer documents than features, or a sample that does not span the space, is fitted
        as far as it goes: the ridge decides the rest.
        """
        from vectorplug.lemur.fitting import fit

        return replace(
            self,
            fitted=fit(
                tokens,
                queries,
                dim=self.dim,
                size=self.size,
                features=self._features,
                samples=self.samples,
                seed=self.seed,
            ),
            encoder=None,
        )

    def encode_documents(self, tokens: MultiVectors) -> npt.NDArray[np.float32]:
        """float32 [n, size]: the ridge regression of the document's MaxSim with the sampled tokens, centred.

        The same bits in any batch, on one machine. InputError for tokens of another dim, for NaN or infinity.
        """
        return self._fit.encode_documents(self._right(tokens))

    def encode_queries(self, tokens: MultiVectors) -> npt.NDArray[np.float32]:
        """float32 [n, size]: the sum over the query's tokens of features and numbers, projected; same promises."""
        return self._fit.encode_queries(self._right(tokens))

    def drift(self, tokens: MultiVectors) -> Drift:
        """How much worse documents, two at least, are told apart than those of the fit; some hundreds say enough."""
        return self._fit.drift(self._right(tokens))

    def save(self, path: str | Path) -> None:
        """Write the fit as one file of a few MB, complete or not there at all; ConfigurationError without a fit."""
        from vectorplug.lemur.artifact import write

        write(Path(path), self._fit, {"samples": self.samples, "seed": self.seed}, self.encoder)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """What `save` wrote. InputError for a file that is damaged, of another version, or no fit at all."""
        return cls.from_bytes(Path(path).read_bytes(), str(path))

    def to_bytes(self) -> bytes:
        """What `save` writes, for a database that keeps it beside the vectors; ConfigurationError without a fit."""
        from vectorplug.lemur.artifact import dumps

        return dumps(self._fit, {"samples": self.samples, "seed": self.seed}, self.encoder)

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "the fit") -> Self:
        """What `to_bytes` gave; InputError, which names `source`, as of `open`."""
        from vectorplug.lemur.artifact import loads

        fit, parameters, encoder = loads(data, source)
        return cls(dim=fit.dim, size=fit.size, features=fit.features, fitted=fit, encoder=encoder, **parameters)

    @property
    def _features(self) -> int:
        assert self.features is not None  # __post_init__ put a number there
        return self.features

    @property
    def _fit(self) -> Fit:
        if self.fitted is None:
            raise ConfigurationError(
                f"{self!r} is not fitted: take the one that fit(document_tokens) returns, "
                "or Lemur.open(path) for what save(path) wrote."
            )
        return self.fitted

    def _right(self, tokens: MultiVectors) -> MultiVectors:
        # MultiVectors.from_list([]) cannot know its dim: it says 0.
        if len(tokens) and tokens.dim != self.dim:
            raise InputError(f"the tokens have {tokens.dim} numbers each, this Lemur was made for dim={self.dim}.")
        return tokens

    def _checked(self, name: str, low: int, high: int | None = None) -> int:
        """Keep the field as an int from `low` to `high`."""
        number = checked_integer(name, getattr(self, name), low, high)
        object.__setattr__(self, name, number)
        return number
