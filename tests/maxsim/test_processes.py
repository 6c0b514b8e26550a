"""Threads, forks, memory at its edges, and what an import costs: each in an interpreter of its own where it must be."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, current_thread, main_thread

import numba
import numpy as np
import pytest

from vectorplug.maxsim import cpu, maxsim, reference
from vectorplug.multivectors import MultiVectors

SETUP = """
import os, sys, threading
import numpy as np
from vectorplug.maxsim import cpu, maxsim, reference
from vectorplug.multivectors import MultiVectors
rng = np.random.default_rng(0)
documents = MultiVectors.from_list([rng.standard_normal((60, 64)) for _ in range(400)])
query = rng.standard_normal((32, 64))
"""


def run_python(script, **environment):
    """Its standard output; fails with its standard error where the script fails, crashes or hangs."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stderr}"
    return result.stdout.strip()


@pytest.fixture
def four_threads(monkeypatch):
    """Every call shares its work among four threads, however small it is and however few cores there are."""
    monkeypatch.setattr(cpu, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(cpu, "WORTH_A_CLAIM", 1)
    monkeypatch.setattr(cpu, "_thread_limit", lambda: 4)
    cpu._helpers.cache_clear()
    yield
    cpu._helpers().shutdown()
    cpu._helpers.cache_clear()


@pytest.mark.usefixtures("four_threads")
def test_eight_threads_at_once_get_what_each_would_alone():
    rng = np.random.default_rng(0)
    documents = MultiVectors.from_list([rng.standard_normal((n, 24)) for n in rng.integers(1, 50, 80)])
    queries = [rng.standard_normal((int(n), 24)) for n in rng.integers(1, 40, 8)]
    together = Barrier(8)

    def many(query):
        together.wait()
        return [maxsim(query, documents) for _ in range(25)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(many, queries))
    for query, rounds in zip(queries, found, strict=True):
        assert np.allclose(rounds[0], reference.maxsim(query, documents), rtol=1e-5, atol=1e-4)
        assert all(np.array_equal(scores, rounds[0]) for scores in rounds)


@pytest.mark.usefixtures("four_threads")
def test_every_document_is_scored_however_the_tokens_are_spread():
    rng = np.random.default_rng(0)
    lengths = [5000, *[1] * 300, 700, *[3] * 50]
    documents = MultiVectors.from_list([rng.standard_normal((n, 3)) for n in lengths])
    query = rng.standard_normal((2, 3))
    assert np.allclose(maxsim(query, documents), reference.maxsim(query, documents), rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("four_threads")
def test_a_busy_pool_holds_nobody_up():
    documents = MultiVectors.from_list([np.ones((4, 8))] * 20)
    together = Barrier(5)
    blocked = [cpu._helpers().submit(together.wait) for _ in range(4)]
    assert maxsim(np.ones((2, 8)), documents).tolist() == [16.0] * 20
    assert not any(future.done() for future in blocked)
    together.wait()


@pytest.mark.usefixtures("four_threads")
def test_a_call_ends_when_its_helpers_have():
    started, finished = Event(), []

    def work():
        if current_thread() is main_thread():
            started.wait()
        else:
            started.set()
            Event().wait(0.2)
            finished.append(True)

    cpu._run_in_threads(work, 2)
    assert finished == [True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_scores_with_threads_of_its_own():
    script = """
cpu.WORTH_A_THREAD = 1
expected = maxsim(query, documents)
together = threading.Barrier(4)
for helper in [cpu._helpers().submit(together.wait) for _ in range(4)]:
    helper.result()
assert threading.active_count() == 5, "the parent's pool is not full"
child = os.fork()
if child == 0:
    equal = np.array_equal(maxsim(query, documents), expected)
    os._exit(0 if equal and threading.active_count() > 1 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(maxsim(query, documents), expected)
"""
    run_python(SETUP + script, NUMBA_NUM_THREADS="4")


def wakes_helpers(monkeypatch, documents):
    woken = []
    monkeypatch.setattr(cpu, "_helpers", lambda: woken.append(True) or ThreadPoolExecutor(1))
    maxsim(np.ones((32, 64)), documents)
    return bool(woken)


@pytest.mark.parametrize(("threads", "expected"), [(1, False), (2, True)])
def test_numba_num_threads_is_the_limit(monkeypatch, threads, expected):
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", threads)
    assert wakes_helpers(monkeypatch, MultiVectors.from_list([np.ones((60, 64))] * 400)) == expected


def test_a_small_rerank_wakes_no_helper(monkeypatch):
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 2)
    assert not wakes_helpers(monkeypatch, MultiVectors.from_list([np.ones((60, 64))] * 100))


@pytest.mark.skipif(sys.platform != "linux", reason="guards pages with Linux's mprotect")
@pytest.mark.parametrize("path", cpu.supported_paths())
def test_nothing_outside_the_documents_is_read(path):
    """The documents lie against a page that may not be touched, at its one side and then at its other."""
    script = """
import ctypes, mmap
page = mmap.PAGESIZE
mprotect = ctypes.CDLL(None, use_errno=True).mprotect
for lengths in [[n] for n in range(1, 40)] + [[40, 1], [1, 40]]:
    for dim in (1, 7, 16, 33):
        count = sum(lengths) * dim
        room = mmap.mmap(-1, -(-count * 4 // page) * page + 2 * page)
        start = ctypes.addressof(ctypes.c_char.from_buffer(room))
        for guard in (start, start + len(room) - page):
            assert mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
        inside = np.frombuffer(room, np.float32)[page // 4 : -page // 4]
        for values in (inside[:count], inside[len(inside) - count :]):
            values[:] = rng.standard_normal(count)
            documents = MultiVectors(values.reshape(-1, dim), np.cumsum([0, *lengths]))
            assert documents.values.base is not None
            query = rng.standard_normal((3, dim))
            assert np.allclose(maxsim(query, documents), reference.maxsim(query, documents), rtol=1e-4, atol=1e-4)
        del inside, values, documents
print("whole")
"""
    assert run_python(SETUP + script, VECTORPLUG_MAXSIM=path) == "whole"


def test_a_machine_without_a_folder_for_compiled_code():
    script = "assert np.allclose(maxsim(query, documents), reference.maxsim(query, documents), atol=1e-3)"
    run_python(SETUP + script, VECTORPLUG_MAXSIM="plain", NUMBA_CACHE_LOCATOR_CLASSES="ZipCacheLocator")


def test_import_is_light():
    script = """
import sys
import vectorplug.maxsim
print(sorted({"numba", "llvmlite", "torch", "safetensors"} & sys.modules.keys()))
"""
    assert run_python(script) == "[]"
