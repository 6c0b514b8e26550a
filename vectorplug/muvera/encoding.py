"""MUVERA fixed dimensional encodings (FDEs): the token vectors of a text become one vector."""

import re
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, cast, overload

import numpy as np
import numpy.typing as npt

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.integers import checked_integer
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera.dialects import DIALECTS, Dialect, Matrices, matrices

__all__ = ["Muvera"]

MAX_KSIM = 10
MAX_SEED = 2**31 - 1
DEFAULT_SEED = 42
# Repetitions, ksim, dproj and seed that each implementation is used with.
PRESETS: Final[dict[str, tuple[int, int, int, int]]] = {
    "fastembed": (20, 5, 16, 42),
    "google": (20, 5, 16, 1),
    "weaviate": (10, 4, 16, DEFAULT_SEED),
}
FINGERPRINT = re.compile(
    r"muvera1:(?P<dialect>[a-z]+):d(?P<dim>\d+):r(?P<repetitions>\d+):k(?P<ksim>\d+)"
    r":(?:p(?P<dproj>\d+)|identity)(?::s(?P<seed>\d+))?:(?P<fill>fill|nofill)(?::f(?P<final_dim>\d+))?"
    r"(?P<unit_norm>:unit)?",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True)
class Muvera:
    """One vector a text: tokens fall into 2^ksim blocks by sign bits, `repetitions` times; blocks are concatenated.

    <query FDE, document FDE> is about repetitions x MaxSim, but for `unit_norm`. Vectors can be compared only under
    one `fingerprint`.

    dim          numbers a token
    repetitions  independent partitions, at least 1
    ksim         hyperplanes of a partition, 0 to 10
    dproj        numbers a block, at most dim; None keeps the whole token (so does dim for fastembed)
    seed         0 to 2^31 - 1; weaviate has none and reads None
    dialect      "fastembed", "google" or "weaviate": whose vectors these are
    fill         a document's empty block takes the token nearest by Hamming distance
    final_dim    numbers of a last count sketch of the whole vector; None is no sketch
    unit_norm    document vectors, the sketch included, have norm 1 (one of zeros stays so); queries are as they are,
                 since their norm changes no ranking

    Raises ConfigurationError. Source: arXiv 2405.19504, sections 2 and 3.
    """

    dim: int
    repetitions: int = 20
    ksim: int = 5
    dproj: int | None = 16
    seed: int | None = DEFAULT_SEED
    dialect: Dialect = "fastembed"
    fill: bool = True
    final_dim: int | None = None
    unit_norm: bool = False

    def __post_init__(self) -> None:
        if self.dialect not in DIALECTS:
            raise ConfigurationError(f"dialect {self.dialect!r} is unknown; it is one of {', '.join(DIALECTS)}.")
        for name in ("fill", "unit_norm"):
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}, expected True or False.")
            self._set(name, bool(getattr(self, name)))
        dim = self._checked("dim", self.dim, 1)
        self._checked("repetitions", self.repetitions, 1)
        self._checked("ksim", self.ksim, 0, MAX_KSIM)
        if self.dproj is not None:
            self._checked("dproj", self.dproj, 1, dim, hint="; None keeps the tokens as they are")
        if self.dialect == "weaviate":
            if self.seed not in (None, DEFAULT_SEED):
                raise ConfigurationError(f"seed is {self.seed!r}: Weaviate's matrices are fixed, leave the seed out.")
            self._set("seed", None)
        else:
            self._checked("seed", self.seed, 0, MAX_SEED)
        if self.dialect == "fastembed" and self.dproj == dim:
            self._set("dproj", None)
        if self.final_dim is not None:
            self._checked("final_dim", self.final_dim, 1, self._full_size, hint=", the size that it shortens")

    @classmethod
    def preset(
        cls,
        name: str,
        *,
        dim: int,
        repetitions: int | None = None,
        ksim: int | None = None,
        dproj: int | Literal["preset"] | None = "preset",
        seed: int | None = None,
        fill: bool = True,
        final_dim: int | None = None,
        unit_norm: bool = False,
    ) -> Self:
        """The parameters that an implementation is used with, some of them replaced.

        "weaviate" (R10 k4 dp16) gives Weaviate's own vector since 1.31.4; "fastembed" (R20 k5 dp16, seed 42) gives
        fastembed's; "google" (R20 k5 dp16, seed 1) has the paper's shape and the random numbers of Google's C++.
        """
        if name not in PRESETS:
            raise ConfigurationError(f"preset {name!r} is unknown; it is one of {', '.join(sorted(PRESETS))}.")
        own_repetitions, own_ksim, own_dproj, own_seed = PRESETS[name]
        return cls(
            dim=dim,
            repetitions=own_repetitions if repetitions is None else repetitions,
            ksim=own_ksim if ksim is None else ksim,
            dproj=own_dproj if dproj == "preset" else dproj,
            seed=own_seed if seed is None else seed,
            dialect=cast(Dialect, name),
            fill=fill,
            final_dim=final_dim,
            unit_norm=unit_norm,
        )

    @classmethod
    def from_fingerprint(cls, text: str) -> Self:
        """The Muvera whose `fingerprint` is `text`; ConfigurationError where there is none."""
        match = FINGERPRINT.fullmatch(text)
        if match is None:
            raise ConfigurationError(
                f"{text!r} is no fingerprint of MUVERA; one looks like 'muvera1:fastembed:d128:r20:k5:p16:s42:fill'."
            )
        numbers = {
            name: None if match[name] is None else int(match[name])
            for name in ("dim", "repetitions", "ksim", "dproj", "seed", "final_dim")
        }
        flags = {"fill": match["fill"] == "fill", "unit_norm": match["unit_norm"] is not None}
        options: dict[str, Any] = {**numbers, **flags, "dialect": match["dialect"]}
        made = cls(**options)
        if made.fingerprint != text:
            raise ConfigurationError(f"{text!r} is no fingerprint of MUVERA; did you mean {made.fingerprint!r}?")
        return made

    @property
    def size(self) -> int:
        """Numbers of the vector: final_dim, or repetitions x 2^ksim x dproj."""
        return self._full_size if self.final_dim is None else self.final_dim

    @property
    def fingerprint(self) -> str:
        """Everything that changes the vector and nothing else, such as "muvera1:fastembed:d128:r20:k5:p16:s42:fill"."""
        parts = ["muvera1", self.dialect, f"d{self.dim}", f"r{self.repetitions}", f"k{self.ksim}"]
        parts.append("identity" if self.dproj is None else f"p{self.dproj}")
        if self.seed is not None:
            parts.append(f"s{self.seed}")
        parts.append("fill" if self.fill else "nofill")
        if self.final_dim is not None:
            parts.append(f"f{self.final_dim}")
        if self.unit_norm:
            parts.append("unit")
        return ":".join(parts)

    @property
    def matrices(self) -> Matrices:
        """The random matrices, read-only and made once for equal parameters: for other devices' encoders."""
        return matrices(
            self.dialect,
            dim=self.dim,
            repetitions=self.repetitions,
            ksim=self.ksim,
            dproj=self.dproj,
            seed=self.seed,
            final_dim=self.final_dim,
        )

    @overload
    def encode_documents(
        self, tokens: MultiVectors, *, dtype: Literal["float32"] = "float32"
    ) -> npt.NDArray[np.float32]: ...
    @overload
    def encode_documents(self, tokens: MultiVectors, *, dtype: Literal["float16"]) -> npt.NDArray[np.float16]: ...
    def encode_documents(self, tokens: MultiVectors, *, dtype: Literal["float32", "float16"] = "float32") -> Any:
        """float32 or float16 [n, size]: averages of the tokens of each block, empty blocks filled if `fill`.

        A document has the same bits in any batch. Raises InputError for tokens of another dim, and where a number does
        not fit float16. Source: arXiv 2405.19504, section 2.
        """
        return self._encode(tokens, average=True, dtype=dtype)

    @overload
    def encode_queries(
        self, tokens: MultiVectors, *, dtype: Literal["float32"] = "float32"
    ) -> npt.NDArray[np.float32]: ...
    @overload
    def encode_queries(self, tokens: MultiVectors, *, dtype: Literal["float16"]) -> npt.NDArray[np.float16]: ...
    def encode_queries(self, tokens: MultiVectors, *, dtype: Literal["float32", "float16"] = "float32") -> Any:
        """float32 or float16 [n, size]: sums of the tokens of each block, never filled; else as encode_documents."""
        return self._encode(tokens, average=False, dtype=dtype)

    def _encode(self, tokens: MultiVectors, *, average: bool, dtype: str) -> npt.NDArray[Any]:
        if dtype not in ("float32", "float16"):
            raise ConfigurationError(f"dtype {dtype!r} is unknown; FDEs are float32 or float16, smaller with FdeCodes.")
        if len(tokens) == 0:
            return np.empty((0, self.size), dtype)
        if tokens.dim != self.dim:
            raise InputError(f"the tokens have {tokens.dim} numbers each, this Muvera was made for dim={self.dim}.")
        # numba takes half a second to import: only who encodes pays for it.
        from vectorplug.muvera import cpu

        flags = {"fill": average and self.fill, "unit_norm": average and self.unit_norm}
        return cpu.encode(self.matrices, tokens, average=average, dtype=dtype, **flags)

    @property
    def _full_size(self) -> int:
        return self.repetitions * (1 << self.ksim) * (self.dim if self.dproj is None else self.dproj)

    def _checked(self, name: str, value: Any, low: int, high: int | None = None, *, hint: str = "") -> int:
        """Keep `value` as an int from `low` to `high`."""
        number = checked_integer(name, value, low, high, hint=hint)
        self._set(name, number)
        return number

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
