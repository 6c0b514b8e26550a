"""Threads of the kernels: as many as the user says, else as the machine or its container grants, in one pool."""

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numba

__all__ = ["run_in_threads", "thread_limit"]

CGROUP = Path("/sys/fs/cgroup")


def thread_limit() -> int:
    """NUMBA_NUM_THREADS where it is set; else OMP_NUM_THREADS, or the cores that the process may run on.

    Of these no more than a container's share of CPU time: threads beyond it only wait for one another.
    """
    limit = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if "NUMBA_NUM_THREADS" in os.environ:
        return limit
    outer = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # a list has one number a level
    wanted = int(outer) if outer.isdecimal() else limit
    return max(1, min(limit, wanted, granted(CGROUP) or limit))


@cache
def granted(cgroup: Path) -> int | None:
    """Cores' worth of time that the control group's quota allows, rounded up; None without one."""
    try:
        # Version 2: "QUOTA PERIOD" or "max PERIOD", in microseconds.
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = (
                (cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period")
            )
        except OSError:
            return None
    if not (quota.isdecimal() and period.isdecimal() and int(period)):
        return None  # "max", and -1 in version 1
    return max(1, math.ceil(int(quota) / int(period)))


def run_in_threads(work: Callable[[], None], threads: int) -> None:
    """Run `work` in this thread and in up to `threads - 1` more; `work` shares itself out and ends when all is done."""
    helpers = [_helpers().submit(work) for _ in range(threads - 1)]
    work()
    for helper in helpers:
        if not helper.cancel():
            helper.result()


# Not numba's own threads: its default layer aborts the process when two Python threads enter it at once. Here the
# caller works, too, and whoever is free claims the next piece: a busy pool or a busy core holds nobody up.
@cache
def _helpers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_limit(), thread_name_prefix="vectorplug-kernels")


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    # A child has the pool but none of its threads: it makes its own.
    os.register_at_fork(after_in_child=_helpers.cache_clear)
