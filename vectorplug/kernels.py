"""Every kernel that this machine would choose, compiled in one place, so that no request waits for a compiler."""

from typing import cast

import numpy as np

from vectorplug.multivectors import MultiVectors, type_names

__all__ = ["compile_all"]


def compile_all() -> None:
    """Compile the kernels of MaxSim for every dtype, those of MUVERA and of Lemur; half a minute once on a machine.

    Afterwards numba reads them from its folder (NUMBA_CACHE_DIR, or beside the package), in a fraction of a second. Who
    calls it should say so: only the log does ("vectorplug.compiling", INFO).
    """
    from vectorplug.lemur import Lemur
    from vectorplug.maxsim.choosing import kernel_for
    from vectorplug.maxsim.kernels import StoredDtype
    from vectorplug.maxsim.walk import compiled
    from vectorplug.muvera import Muvera

    for dtype in type_names:
        compiled(kernel_for(cast(StoredDtype, dtype), 128))
    one = MultiVectors(np.ones((1, 2), np.float32), [0, 1])
    Muvera(dim=2, repetitions=1, ksim=1, dproj=None).encode_documents(one)
    two = MultiVectors(np.eye(2, dtype=np.float32), [0, 1, 2])
    lemur = Lemur(dim=2, size=1, features=1, samples=2).fit(two)
    lemur.encode_documents(two)
    lemur.encode_queries(two)
