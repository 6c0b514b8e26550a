"""The random matrices and conventions of each implementation of MUVERA whose vectors we reproduce."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from vectorplug.muvera import libstdcxx_random
from vectorplug.muvera.go_random import GoPcg

__all__ = ["DIALECTS", "Dialect", "Matrices", "Sketch", "matrices"]

Dialect = Literal["fastembed", "google", "weaviate"]
DIALECTS: Final[tuple[Dialect, ...]] = ("fastembed", "google", "weaviate")

WEAVIATE_SEED = (0x532CA5105169B1DF, 0x385AB5285169B1AC)


class Sketch(NamedTuple):
    """A count sketch to `size` numbers: input number i, times `signs[i]`, is added to output number `columns[i]`."""

    columns: npt.NDArray[np.int64]
    signs: npt.NDArray[np.float32]
    size: int


@dataclass(frozen=True, eq=False)
class Matrices:
    """Everything that turns tokens into an FDE, in one form for all dialects; arrays are read-only.

    planes      float64 [repetitions, ksim, dim]: bit i of a token's code is (planes[r, i] . token > 0)
    places      int64 [2^ksim]: where in a repetition's part of the FDE the block of a code stands
    projection  float32 [repetitions, dim, dproj], its scale included; None is the identity
    ties        which of several nearest tokens fills an empty block: the first "token" of the document, or the
                first token of the lowest "code"
    final       count sketch of the whole FDE; None leaves it as it is
    """

    planes: npt.NDArray[np.float64]
    places: npt.NDArray[np.int64]
    projection: npt.NDArray[np.float32] | None
    ties: Literal["token", "code"]
    final: Sketch | None

    @property
    def dim(self) -> int:
        """Numbers a token."""
        return int(self.planes.shape[2])

    @property
    def full_size(self) -> int:
        """Numbers of the FDE before the final sketch."""
        block = self.dim if self.projection is None else self.projection.shape[2]
        return len(self.planes) * len(self.places) * block

    @property
    def size(self) -> int:
        """Numbers of the FDE."""
        return self.full_size if self.final is None else self.final.size


@lru_cache(maxsize=16)
def matrices(
    dialect: Dialect,
    *,
    dim: int,
    repetitions: int,
    ksim: int,
    dproj: int | None,
    seed: int | None,
    final_dim: int | None,
) -> Matrices:
    """The matrices of checked parameters, made once; `seed` is None for weaviate only.

    Source: fastembed 0.9 `postprocess/muvera.py`; Google graph-mining `fixed_dimensional_encoding.cc` built with
    GNU libstdc++; Weaviate 1.31.4 and later `multivector/muvera.go`.
    """
    shape = (dim, repetitions, ksim, dproj)
    if seed is None:
        made = _weaviate(*shape)
    elif dialect == "google":
        made = _google(*shape, seed)
    else:
        made = _fastembed(*shape, seed)
    planes, places, projection = made
    ties: Literal["token", "code"] = "code" if dialect == "fastembed" else "token"
    unsketched = Matrices(planes, places, projection, ties, final=None)
    if final_dim is None:
        return _read_only(unsketched)
    if dialect == "google" and seed is not None:
        columns, signs = libstdcxx_random.count_sketch(seed, unsketched.size, final_dim)
    else:
        # Neither fastembed nor Weaviate has one: Google's construction over numpy's generator.
        generator = np.random.default_rng(WEAVIATE_SEED[0] if seed is None else seed)
        columns = generator.integers(final_dim, size=unsketched.size)
        signs = generator.choice(np.array([-1, 1], np.float32), size=unsketched.size)
    return _read_only(replace(unsketched, final=Sketch(columns, signs, final_dim)))


Made = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float32] | None]


def _fastembed(dim: int, repetitions: int, ksim: int, dproj: int | None, seed: int) -> Made:
    generator = np.random.default_rng(seed)
    planes = generator.standard_normal((repetitions, dim, ksim)).transpose(0, 2, 1)
    projection = None
    if dproj is not None:
        signs = generator.choice([-1, 1], size=(repetitions, dim, dproj))
        projection = _scaled(signs, dproj)
    return np.ascontiguousarray(planes), np.arange(2**ksim), projection


def _weaviate(dim: int, repetitions: int, ksim: int, dproj: int | None) -> Made:
    generator = GoPcg(*WEAVIATE_SEED)
    planes = np.empty((repetitions, ksim, dim))
    signs = np.empty((repetitions, dproj or 0, dim))
    # One stream serves all repetitions in turn, so fewer repetitions are a prefix of more.
    for repetition in range(repetitions):
        u1, u2 = generator.float64(2 * ksim * dim).reshape(-1, 2).T
        gaussians = np.sqrt(-2 * np.log(u1)) * np.cos(2 * np.pi * u2)
        planes[repetition] = gaussians.astype(np.float32).reshape(ksim, dim)
        if dproj is not None:
            signs[repetition] = generator.signs(dproj * dim).reshape(dproj, dim)
    projection = None if dproj is None else _scaled(signs.transpose(0, 2, 1), dproj)
    return planes, np.arange(2**ksim), projection


def _google(dim: int, repetitions: int, ksim: int, dproj: int | None, seed: int) -> Made:
    planes = np.empty((repetitions, ksim, dim))
    projection = None if dproj is None else np.zeros((repetitions, dim, dproj), np.float32)
    for repetition in range(repetitions):
        gaussians = libstdcxx_random.standard_normal(seed + repetition, ksim * dim)
        # The first plane is the most significant bit.
        planes[repetition] = gaussians.reshape(ksim, dim)[::-1]
        if projection is not None:
            columns, signs = libstdcxx_random.count_sketch(seed + repetition, dim, projection.shape[2])
            projection[repetition, np.arange(dim), columns] = signs
    # Blocks stand at the prefix-XOR of the sign bits. `GrayCodeToBinary` inverts it, whatever its name says, so the
    # Hamming distance of the fill is that of the sign bits themselves.
    places = np.arange(2**ksim)
    for shift in (1, 2, 4, 8):
        places ^= places >> shift
    return planes, places, projection


def _scaled(signs: npt.NDArray[Any], dproj: int) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(signs / np.sqrt(dproj), dtype=np.float32)


def _read_only(made: Matrices) -> Matrices:
    for array in (made.planes, made.places, made.projection, *(made.final or ())[:2]):
        if array is not None:
            array.setflags(write=False)
    return made
