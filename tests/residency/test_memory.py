"""What a device has: limits of cgroups, budgets, running out, peaks."""

import gc
import mmap
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from vectorplug.errors import ConfigurationError, ModelLoadError
from vectorplug.residency.memory import CpuMemory, Reading, budget_bytes, forget_frames, ran_out
from vectorplug.residency.peak import cpu_peak

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MB = 1_000_000


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def meminfo(available: int) -> dict[str, str]:
    return {"proc/meminfo": f"MemTotal: 1 kB\nMemAvailable:   {available // 1000 * 1000 // 1024} kB\n"}


def test_cgroup_2_takes_the_least_limit_of_all_above(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/a/b"
    files = {
        "proc/self/cgroup": "0::/a/b\n",
        f"{group}/memory.max": "max\n",
        "sys/fs/cgroup/a/memory.max": f"{300 * MB}\n",
        "sys/fs/cgroup/a/memory.current": f"{120 * MB}\n",
        "sys/fs/cgroup/a/memory.stat": f"anon 5\ninactive_file {20 * MB}\n",
        "proc/self/statm": "100 50 7 0 0 0 0\n",
    }
    memory = CpuMemory(write(tmp_path, files | meminfo(900 * MB)))
    own = 50 * os.sysconf("SC_PAGE_SIZE")
    # 120 MB are charged, of which 20 are file cache.
    assert memory.size == 300 * MB
    assert memory.read() == Reading(300 * MB, own, 0, 100 * MB - own, 200 * MB)


def test_cgroup_1_and_a_container_that_sees_only_the_mount(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:cpu:/x\n4:cpuset,memory:/docker/of-the-host\n0::/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{500 * MB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{500 * MB}\n",
        "sys/fs/cgroup/memory/memory.stat": f"inactive_file 1\ntotal_inactive_file {60 * MB}\n",
    }
    memory = CpuMemory(write(tmp_path, files | meminfo(900 * MB)))
    assert memory.size == 500 * MB
    assert memory.read().free == 60 * MB


def test_the_machine_is_the_limit_where_no_group_has_one(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "4:memory:/\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "5\n",
        "sys/fs/cgroup/memory/memory.stat": "",
    }
    memory = CpuMemory(write(tmp_path, files | meminfo(200 * MB)))
    assert memory.size == MACHINE
    assert 199 * MB < memory.read().free <= 200 * MB
    assert CpuMemory(tmp_path / "not-linux").read().free == MACHINE


def test_this_machine() -> None:
    before = CpuMemory().read()
    # Pages of our own: an allocator may have some left from other tests.
    held = mmap.mmap(-1, 100 * MB)
    np.frombuffer(held, np.uint8)[:] = 1
    after = CpuMemory().read()
    assert after.allocated - before.allocated > 90 * MB
    assert 0 < after.free <= after.size <= MACHINE
    assert after.available == after.free + after.cached
    assert len(held)


def test_budgets() -> None:
    assert budget_bytes("80%", 1000) == 800
    assert budget_bytes("12.5 %", 1000) == 125
    assert budget_bytes("123", 1000) == budget_bytes(123, 1000) == 123
    for wrong in ("8GB", "120%", "-5", -5, 0.8, True, "", "%"):
        with pytest.raises(ConfigurationError, match="expected bytes"):
            budget_bytes(wrong, 1000)


def test_running_out_is_told_from_every_other_error() -> None:
    with pytest.raises(RuntimeError) as real:
        torch.empty(1 << 52, dtype=torch.uint8)
    assert ran_out(real.value)
    assert ran_out(MemoryError())
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory"))
    assert not ran_out(RuntimeError("the shapes do not match"))
    named = ModelLoadError("x cannot be loaded")
    named.__cause__ = real.value
    assert ran_out(named)


def test_a_forgotten_traceback_pins_no_tensor() -> None:
    held = []

    def forward() -> None:
        activations = torch.zeros(10)
        held.append(weakref.ref(activations))
        try:
            raise torch.OutOfMemoryError
        except torch.OutOfMemoryError as error:
            raise RuntimeError("wrapped") from error

    with pytest.raises(RuntimeError) as caught:
        forward()
    kept = caught.value
    del caught
    forget_frames(kept)
    gc.collect()
    assert held[0]() is None
    assert kept.__cause__.__traceback__ is None


def test_the_peak_counts_each_storage_from_its_making_to_its_end() -> None:
    weights = torch.randn(1000, 1000)

    def work() -> torch.Tensor:
        with torch.inference_mode():
            wide = torch.empty(2000, 1000)  # 8 MB
            product = wide @ weights.t()  # 8 MB; the weights and views of them were there before
            del wide
            halves = [product[:1000].relu(), product[1000:].relu()]  # 2 x 4 MB
            del product
            return torch.cat(halves).view(-1)  # 8 MB, beside 8 MB

    outcome, peak = cpu_peak(work)
    assert outcome.shape == (2_000_000,)
    assert peak == 16_000_000


def test_the_peak_of_a_thread_is_its_own() -> None:
    together = threading.Barrier(4)

    def work(count: int) -> None:
        together.wait(10)
        torch.zeros(count)
        together.wait(10)

    with ThreadPoolExecutor(4) as pool:
        peaks = list(pool.map(lambda count: cpu_peak(lambda: work(count))[1], (10, 2000, 300, 4)))
    assert peaks == [40, 8000, 1200, 16]
