from pathlib import Path
from threading import Event, current_thread, main_thread

import numba
import pytest

from vectorplug import threads
from vectorplug.threads import granted, run_in_threads, thread_limit


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 8)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "CGROUP", tmp_path)


@pytest.mark.parametrize(
    ("omp", "expected"),
    [(None, 8), ("3", 3), ("2,4", 2), ("64", 8), ("0", 1), ("", 8), ("many", 8)],
)
def test_openmps_number_holds_where_numbas_is_not_set(monkeypatch, omp, expected):
    if omp is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", omp)
    assert thread_limit() == expected


def test_numbas_own_number_goes_before_all(monkeypatch, tmp_path: Path):
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "8")
    assert thread_limit() == 8


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "5000 100000\n"}, 1),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_a_containers_share_of_time(tmp_path: Path, files, expected):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert granted(tmp_path) == expected
    assert thread_limit() == (expected or 8)


def test_a_call_ends_when_its_helpers_have():
    started, finished = Event(), []

    def work():
        if current_thread() is main_thread():
            started.wait()
        else:
            started.set()
            Event().wait(0.2)
            finished.append(True)

    run_in_threads(work, 2)
    assert finished == [True]
