"""How many threads the kernels may use: what the user says, else what the machine or its container grants."""

import math
import os
from functools import cache
from pathlib import Path

import numba

__all__ = ["thread_limit"]

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
