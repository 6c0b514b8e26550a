"""How many bytes of tensors a piece of work holds at most, on a CPU, where the allocator keeps no such mark."""

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = ["cpu_peak"]

Outcome = TypeVar("Outcome")


def cpu_peak(run: Callable[[], Outcome]) -> tuple[Outcome, int]:
    """What `run` returns, and the most bytes of tensors that it had made and not yet freed at any moment.

    Every torch operation of this thread is watched and each new storage counted from its making to its freeing.
    Exact for tensors, unlike the process's resident set, which other threads move and which the C library does not
    give back at once. Left out: scratch space inside an operation, and what is made outside torch. Watching costs
    microseconds an operation.
    """
    watch = _Watch()
    with watch:
        outcome = run()
    return outcome, watch.peak


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live = 0
        # By identity, held weakly: a storage leaves when its last tensor does.
        self._known: dict[int, weakref.ref[UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in tree_leaves((args, kwargs)):
            self._note(tensor, 0)  # what was there before, weights above all, and views of it
        made = func(*args, **kwargs)
        for tensor in tree_leaves(made):
            self._note(tensor, None)
        self.peak = max(self.peak, self._live)
        return made

    def _note(self, value: Any, size: int | None) -> None:
        if not isinstance(value, Tensor) or value.is_mkldnn:  # a weight in oneDNN's layout shows no storage
            return
        storage = value.untyped_storage()
        key = id(storage)
        if key in self._known:
            return
        counted = storage.nbytes() if size is None else size

        def left(_: object) -> None:
            del self._known[key]
            self._live -= counted

        self._known[key] = weakref.ref(storage, left)
        self._live += counted
