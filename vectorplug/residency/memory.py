"""What a device has: its size, what this process holds of it, what others hold, what is free; all in bytes."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import torch

from vectorplug.errors import ConfigurationError
from vectorplug.residency.peak import cpu_peak

__all__ = [
    "CpuMemory",
    "CudaMemory",
    "DeviceMemory",
    "Reading",
    "budget_bytes",
    "forget_frames",
    "memory_of",
    "ran_out",
]

Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes of one device at one moment: size = allocated + cached + others + free, as near as the system tells.

    `allocated` is in use by this process (a CPU: its resident set), `cached` is what torch keeps for its next
    allocation, `others` is held by other processes. What can still be allocated is `free` and `cached` together.
    """

    size: int
    allocated: int
    cached: int
    others: int
    free: int

    @property
    def available(self) -> int:
        """Bytes that this process can still allocate."""
        return self.free + self.cached


class DeviceMemory(Protocol):
    """One device, read without a lock and within microseconds."""

    @property
    def size(self) -> int:
        """Bytes that the device has for this process."""

    @property
    def pins_host(self) -> bool:
        """Whether copies from page-locked host memory are faster."""

    def read(self) -> Reading:
        """What is held and free now."""

    def release_cached(self) -> None:
        """Give cached blocks back to the device."""

    def peak_of(self, run: Callable[[], Outcome]) -> tuple[Outcome, int]:
        """What `run` returns, and the most bytes that it held at once above what was held before."""


class CpuMemory:
    """The process's own memory: the smallest limit of its cgroups (v2 or v1), else the machine's.

    Also for devices that share it (Apple's). `root` is where /proc and /sys are found.
    """

    pins_host = False

    def __init__(self, root: Path = Path("/")) -> None:
        self._proc = root / "proc"
        self._groups = list(_limits(root))
        machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        self.size = min([machine, *(limit for _, limit in self._groups)])

    def read(self) -> Reading:
        """`free` is the least that any cgroup and the machine have left; file cache counts as free."""
        machine = self._available()
        left = [limit - _in_use(folder) for folder, limit in self._groups]
        free = max(min([machine, self.size, *left]), 0)
        own = self._resident()
        return Reading(self.size, own, 0, max(self.size - free - own, 0), free)

    def release_cached(self) -> None:
        """Nothing: torch keeps no blocks of a CPU's memory."""

    def peak_of(self, run: Callable[[], Outcome]) -> tuple[Outcome, int]:
        """Bytes of the tensors that this thread's `run` makes; see `vectorplug.residency.peak`."""
        return cpu_peak(run)

    def _available(self) -> int:
        info = self._proc / "meminfo"
        match = re.search(r"MemAvailable:\s+(\d+) kB", info.read_text()) if info.exists() else None
        return int(match[1]) * 1024 if match else self.size

    def _resident(self) -> int:
        statm = self._proc / "self" / "statm"
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0


class CudaMemory:
    """One CUDA device. torch's cached blocks are free to this process and not to others: they are told apart."""

    pins_host = True

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.size = torch.cuda.mem_get_info(device)[1]

    def read(self) -> Reading:
        """The driver's free bytes, and torch's allocated and reserved ones."""
        free, size = torch.cuda.mem_get_info(self._device)
        allocated = torch.cuda.memory_allocated(self._device)
        reserved = torch.cuda.memory_reserved(self._device)
        return Reading(size, allocated, reserved - allocated, max(size - free - reserved, 0), free)

    def release_cached(self) -> None:
        """Blocks that no tensor uses go back to the driver, pinned host blocks to the system."""
        torch.cuda.empty_cache()
        torch.accelerator.empty_host_cache()

    def peak_of(self, run: Callable[[], Outcome]) -> tuple[Outcome, int]:
        """From the allocator's own high-water mark: too high, never too low, while other threads allocate."""
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        outcome = run()
        return outcome, max(torch.cuda.max_memory_allocated(self._device) - before, 0)


def memory_of(device: torch.device) -> DeviceMemory:
    """The memory that tensors on `device` take."""
    return CudaMemory(device) if device.type == "cuda" else CpuMemory()


def budget_bytes(budget: int | str, size: int) -> int:
    """Bytes: an integer as it is, "80%" of `size`. ConfigurationError for anything else."""
    text = str(budget).strip()
    percent = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text)
    if percent and float(percent[1]) <= 100:
        return int(size * float(percent[1]) / 100)
    if text.isdecimal() and not isinstance(budget, bool):
        return int(text)
    raise ConfigurationError(
        f"the memory budget is {budget!r}, expected bytes (such as 8000000000) or a percent: '80%'."
    )


def ran_out(error: BaseException) -> bool:
    """Whether the error, or one that it came from, is a device or the host out of memory."""
    return any(
        isinstance(cause, torch.OutOfMemoryError | MemoryError)
        # torch has no class of its own for a CPU's allocator.
        or (isinstance(cause, RuntimeError) and "DefaultCPUAllocator: can't allocate memory" in str(cause))
        for cause in _chain(error)
    )


def forget_frames(error: BaseException) -> None:
    """Drop the tracebacks of the error and its causes: their frames hold the tensors of the pass that failed."""
    for cause in list(_chain(error)):
        cause.__traceback__ = None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__]


def _limits(root: Path) -> Iterator[tuple[Path, int]]:
    """Each cgroup above this process that has a limit, with the limit in bytes."""
    listing = root / "proc" / "self" / "cgroup"
    for line in listing.read_text().splitlines() if listing.exists() else ():
        _, controllers, place = line.split(":", 2)
        if controllers == "":  # version 2
            base, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        own = base / place.lstrip("/")
        # Inside a container the path is the host's: then only the mount itself is there.
        for folder in (own, *own.parents):
            limit = folder / name
            if limit.exists() and (said := limit.read_text().strip()).isdecimal():
                yield folder, int(said)
            if folder == base:
                break


def _in_use(folder: Path) -> int:
    """Bytes charged to a cgroup, less the file cache that the kernel drops first."""
    usage = next(path for name in ("memory.current", "memory.usage_in_bytes") if (path := folder / name).exists())
    kinds = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    # Version 1 counts the groups below under names of their own, and its usage with them.
    cache = kinds.get("total_inactive_file", kinds.get("inactive_file", "0"))
    return int(usage.read_text()) - int(cache)
