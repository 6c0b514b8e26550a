"""The fast path on CPU: matrices laid out for the kernels, and documents spread over threads.

A document's arithmetic depends on nothing but its own tokens: its FDE has the same bits in any batch, on any number of
threads, and its block indices are those of float64.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.errors import InputError
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera.dialects import Matrices
from vectorplug.muvera.kernels import Packed, encode_all
from vectorplug.muvera.simd import LANES
from vectorplug.threads import thread_limit

__all__ = ["encode", "pack"]

# Long enough (some milliseconds) to hide what a task costs, short enough to spread over threads.
TOKENS_A_TASK = 8192
# So many numbers of an FDE take about as long as one token.
NUMBERS_A_TOKEN = 128


def encode(
    matrices: Matrices, tokens: MultiVectors, *, average: bool, fill: bool, unit_norm: bool, dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """float32 or float16 [n, size]: blocks are sums, or averages; `fill` fills the empty ones.

    With `unit_norm` each vector has norm 1, or is zero.

    Uses as many threads as threads.py allows, and may be called from several. InputError where float16 is too narrow.
    """
    fdes = np.empty((len(tokens), matrices.size), dtype)
    packed = pack(matrices)

    def work(task: slice) -> None:
        part = tokens[task].astype("float32")
        values, offsets = _read_only(np.require(part.values, requirements=["C", "A"])), _read_only(part.offsets)
        if fdes.dtype == np.float32:
            encode_all(values, offsets, packed, average, fill, unit_norm, fdes[task])
            return
        wide = np.empty(fdes[task].shape, np.float32)
        encode_all(values, offsets, packed, average, fill, unit_norm, wide)
        try:
            with np.errstate(over="raise"):
                fdes[task] = wide
        except FloatingPointError as error:
            highest = np.abs(wide).max(axis=1)
            index = task.start + int(highest.argmax())
            raise InputError(
                f"the FDE of text {index} reaches {highest.max():.4g}, float16 ends at 65504: "
                'ask for dtype="float32", or normalise the tokens.',
                index=index,
            ) from error

    tasks = _tasks(tokens.offsets, matrices.size)
    threads = min(thread_limit(), len(tasks))
    if threads <= 1:
        for task in tasks:
            work(task)
    else:
        # Our own threads around kernels without the GIL, made for the call: numba's prange may not be entered from two
        # threads at once (its workqueue layer aborts), and a pool kept for later would not survive a fork.
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, tasks))
    return fdes


@lru_cache(maxsize=16)
def pack(matrices: Matrices) -> Packed:
    """The same matrices, which compare by identity, in the kernels' layout; made once."""
    repetitions, ksim, dim = matrices.planes.shape
    per_panel = LANES // max(ksim, 1)
    panels = np.zeros((-(-repetitions // per_panel) if ksim else 0, dim, LANES), np.float32)
    used = np.zeros(len(panels), np.uint16)
    for repetition, planes in enumerate(matrices.planes if ksim else ()):
        panel, lane = repetition // per_panel, repetition % per_panel * ksim
        panels[panel, :, lane : lane + ksim] = planes.T
        used[panel] |= (2**ksim - 1) << lane
    projection, dproj = np.empty((repetitions, 0, dim, LANES), np.float32), dim
    if matrices.projection is not None:
        dproj = matrices.projection.shape[2]
        padded = np.pad(matrices.projection, ((0, 0), (0, 0), (0, -dproj % LANES)))
        projection = np.ascontiguousarray(padded.reshape(repetitions, dim, -1, LANES).transpose(0, 2, 1, 3))
    final = matrices.final
    return Packed(
        planes=_read_only(matrices.planes),
        panels=_read_only(panels),
        used=_read_only(used),
        per_panel=per_panel,
        # Each of the dim additions and the rounding of the plane err by half an ulp; then Cauchy-Schwarz.
        bound=(dim + 2) * 2.0**-24 * float(np.linalg.norm(matrices.planes, axis=2).max(initial=0)),
        places=_read_only(matrices.places),
        projection=_read_only(projection),
        dproj=dproj,
        by_code=matrices.ties == "code",
        columns=_read_only(np.empty(0, np.int64) if final is None else final.columns),
        signs=_read_only(np.empty(0, np.float32) if final is None else final.signs),
    )


def _tasks(offsets: npt.NDArray[np.int64], size: int) -> list[slice]:
    """Runs of documents that take about as long as TOKENS_A_TASK tokens."""
    costs = offsets + np.arange(len(offsets)) * (size // NUMBERS_A_TOKEN)
    if costs[-1] <= TOKENS_A_TASK:
        return [slice(0, len(offsets) - 1)]
    marks = np.arange(TOKENS_A_TASK, costs[-1], TOKENS_A_TASK)
    cuts = np.unique(np.concatenate([[0], np.searchsorted(costs, marks), [len(offsets) - 1]])).tolist()
    return [slice(start, stop) for start, stop in itertools.pairwise(cuts)]


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # numba compiles anew for an array that may be written to: all come read-only.
    view = array.view()
    view.setflags(write=False)
    return view
