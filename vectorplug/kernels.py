"""Every kernel that this machine would choose, compiled in one place, so that no request waits for a compiler."""

from typing import cast

import numpy as np

from vectorplug.multivectors import MultiVectors, type_names

__all__ = ["compile_all"]


def compile_all() -> None:
    """Compile the kernels of MaxSim for every dtype, of MUVERA, of Lemur and of codes; half a minute once on a machine.

    Afterwards numba reads them from its folder (NUMBA_CACHE_DIR, or beside the package), in a fraction of a second. Who
    calls it should say so: only the log does ("vectorplug.compiling", INFO).
    """
    from vectorplug.codes import FdeCodes
    from vectorplug.lemur import Lemur
    from vectorplug.maxsim.choosing import PIECES_FROM, kernel_for
    from vectorplug.maxsim.kernels import StoredDtype
    from vectorplug.maxsim.walk import compiled
    from vectorplug.muvera import Muvera

    for dtype in type_names:
        for blocks in (1, PIECES_FROM):
            compiled(kernel_for(cast(StoredDtype, dtype), 128, blocks))
    one = MultiVectors(np.ones((1, 2), np.float32), [0, 1])
    Muvera(dim=2, repetitions=1, ksim=1, dproj=None).encode_documents(one)
    two = MultiVectors(np.eye(2, dtype=np.float32), [0, 1, 2])
    lemur = Lemur(dim=2, size=1, features=1, samples=2).fit(two)
    lemur.encode_documents(two)
    lemur.encode_queries(two)
    FdeCodes.of(np.ones((1, 1)), "int8").scores(np.ones(1))
    FdeCodes.of(np.ones((1, 1)), "bit").scores(np.ones(1))
