"""What one forward pass gives for n texts: token vectors, one FDE each, one dense vector each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.multivectors import MultiVectors

__all__ = ["OUTPUTS", "Encoded", "Output", "TokenDtype", "wanted_outputs"]

Output = Literal["tokens", "fde", "dense"]
OUTPUTS: tuple[Output, ...] = get_args(Output)
TokenDtype = Literal["float32", "float16", "bfloat16", "int8"]


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """`tokens` MultiVectors of n, `fde` float32 [n, F], `dense` float32 [n, D], `truncated`, `token_counts` int64 [n].

    What was not asked for is None. `truncated` counts the tokens of each text that were cut off, 0 where all fitted;
    `token_counts` those that the model read, its markers included.
    """

    tokens: MultiVectors | None = None
    fde: npt.NDArray[Any] | None = None
    dense: npt.NDArray[Any] | None = None
    truncated: npt.NDArray[np.int64] | None = None
    token_counts: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(part) for name, part in self._parts()}
        if len(set(lengths.values())) > 1:
            said = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise InputError(f"the parts hold different numbers of texts ({said}); expected one each of every text.")
        for name in ("fde", "dense"):
            part = getattr(self, name)
            if part is not None and part.ndim != 2:
                raise InputError(f"{name} has shape {part.shape}, expected [texts, numbers].")

    def __len__(self) -> int:
        return next((len(part) for _, part in self._parts()), 0)

    def __getitem__(self, key: slice) -> "Encoded":
        return Encoded(**{name: part[key] for name, part in self._parts()})

    def take(self, ids: npt.ArrayLike) -> "Encoded":
        """The texts `ids` (ints [k], any order)."""
        chosen = np.atleast_1d(np.asarray(ids, dtype=np.int64))
        taken: dict[str, Any] = {
            name: part.take(chosen) if isinstance(part, MultiVectors) else part[chosen] for name, part in self._parts()
        }
        return Encoded(**taken)

    @classmethod
    def concatenate(cls, parts: Iterable["Encoded"]) -> Self:
        """The texts of all parts in order; every part holds the same outputs."""
        parts = list(parts)
        held = [{name for name, _ in part._parts()} for part in parts]
        if any(names != held[0] for names in held):
            raise InputError(f"the parts hold different outputs ({', '.join(map(str, held))}); expected the same.")
        joined: dict[str, Any] = {}
        for name in held[0] if held else ():
            columns = [getattr(part, name) for part in parts]
            joined[name] = MultiVectors.concatenate(columns) if name == "tokens" else np.concatenate(columns)
        return cls(**joined)

    def vectors(self) -> Iterator[tuple[Output, Any]]:
        """The outputs that are held, as (name, vectors)."""
        for name in OUTPUTS:
            if (part := getattr(self, name)) is not None:
                yield name, part

    def nbytes(self) -> npt.NDArray[np.int64]:
        """int64 [n]: bytes of each text's vectors."""
        total = np.zeros(len(self), np.int64)
        for _, part in self.vectors():
            if isinstance(part, MultiVectors):
                total += part.lengths * (part.nbytes // max(len(part.values), 1))
            else:
                total += part.itemsize * part.shape[1]
        return total

    def _parts(self) -> Iterator[tuple[str, Any]]:
        yield from self.vectors()
        for name in ("truncated", "token_counts"):
            if (counts := getattr(self, name)) is not None:
                yield name, counts


def wanted_outputs(outputs: Sequence[Output] | None, dims: Mapping[Output, int]) -> tuple[Output, ...]:
    """The `outputs` that a caller names, of those that a vectorizer of `dims` gives; all of them without."""
    if outputs is None:
        return tuple(dims)
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown or not outputs or isinstance(outputs, str):
        raise ConfigurationError(f"outputs is {outputs!r}, expected a sequence of {', '.join(OUTPUTS)}.")
    if "fde" in outputs and "fde" not in dims:
        raise ConfigurationError("outputs ask for 'fde' and this vectorizer was made with fde=None; use 'default'.")
    return tuple(outputs)
