"""What the figures were taken on."""

import os
import platform
from pathlib import Path
from typing import Self

from pydantic import BaseModel

__all__ = ["Machine"]

# Of a CPU's features those that kernels of this field are written for.
FEATURES = ("avx2", "avx512f", "avx512vnni", "avx512bf16", "amx-bf16", "amx-int8", "neon")


class Machine(BaseModel):
    """CPU, memory in GB, system and Python; every program had so many `threads`."""

    cpu: str
    features: tuple[str, ...]
    cores: int
    memory_gb: float
    system: str
    python: str
    threads: int

    @classmethod
    def here(cls, threads: int) -> Self:
        from llvmlite.binding import get_host_cpu_features

        has = get_host_cpu_features()
        return cls(
            cpu=_cpu(),
            features=tuple(name for name in FEATURES if has.get(name)),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            system=f"{platform.system()} {platform.machine()}",
            python=platform.python_version(),
            threads=threads,
        )


def _cpu() -> str:
    """Its name and model: some makers leave numbers out of the name."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = said.get("model name", platform.machine())
    return f"{name}, family {said['cpu family']} model {said['model']}" if "cpu family" in said else name
