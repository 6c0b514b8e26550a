"""Which kernel scores a dtype on this CPU."""

import ctypes
import os
import platform
import sys
from functools import cache

from llvmlite.binding import get_host_cpu_features

from vectorplug.errors import ConfigurationError
from vectorplug.maxsim.kernels import KERNELS, PATHS, Kernel, Path, StoredDtype
from vectorplug.maxsim.packing import LARGEST_DIM

__all__ = ["PIECES_FROM", "kernel_for", "supported_paths"]

SETTING = "VECTORPLUG_MAXSIM"
NEEDS: dict[Path, tuple[str, ...]] = {
    "amx": ("avx512f", "avx512bw", "amx-tile", "amx-int8", "amx-bf16"),
    "vnni": ("avx512f", "avx512bw", "avx512vnni"),
    "avx512": ("avx512f", "avx512bw"),
    "avx2": ("avx2", "fma", "f16c"),
    "plain": (),
}
# Blocks of query tokens from which on it pays to cut documents into pieces. One query waits for memory, however fast it
# is multiplied.
PIECES_FROM = 2


def kernel_for(stored: StoredDtype, dim: int, blocks: int = 1) -> Kernel:
    """The newest kernel for the dtype that the CPU runs, that VECTORPLUG_MAXSIM allows and that pays for the `blocks`.

    The setting names the newest path allowed: "amx" (the default, where there is AMX), "vnni", "avx512", "avx2" or
    "plain". Not every path has a kernel for every dtype, and AMX takes float16 from PIECES_FROM blocks of BLOCK query
    tokens on. Raises ConfigurationError for another name, and for a path that this CPU cannot run.
    """
    supported = supported_paths()
    newest = os.environ.get(SETTING, supported[0])
    if newest not in PATHS:
        raise ConfigurationError(f"{SETTING} is {newest!r}, expected one of {', '.join(PATHS)}. Or leave it unset.")
    if newest not in supported:
        raise ConfigurationError(f"{SETTING} is {newest!r}, this CPU runs {', '.join(supported)}. Or leave it unset.")
    kernels = [KERNELS[path, stored] for path in supported[supported.index(newest) :] if (path, stored) in KERNELS]
    kernels = [kernel for kernel in kernels if kernel.pieces == 1 or blocks >= PIECES_FROM]
    # Sums of int8 fit into 32 bits up to LARGEST_DIM numbers.
    return next(kernel for kernel in kernels if kernel.numbers not in ("int8", "int16") or dim <= LARGEST_DIM)


@cache
def supported_paths() -> tuple[Path, ...]:
    """The paths that this CPU, and its operating system, can run, newest first."""
    has = get_host_cpu_features()
    able = [path for path in PATHS if all(has.get(feature) for feature in NEEDS[path])]
    return tuple(path for path in able if path != "amx" or _amx_is_granted())


def _amx_is_granted() -> bool:
    """Linux gives the matrix unit's registers to processes that ask; its threads and forked children have them, too."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return bool(ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0)
