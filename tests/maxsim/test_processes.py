"""Threads, forks, memory at its edges, and what an import costs: each in an interpreter of its own where it must be."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from vectorplug import threads
from vectorplug.maxsim import cpu, maxsim, reference
from vectorplug.maxsim.choosing import supported_paths
from vectorplug.multivectors import MultiVectors

SETUP = """
import os, sys, threading
import numpy as np
from vectorplug import threads
from vectorplug.maxsim import choosing, cpu, maxsim, reference
from vectorplug.maxsim.choosing import supported_paths
from vectorplug.multivectors import MultiVectors
choosing.PIECES_FROM = 1  # so that every kernel of a path is seen, however few the queries
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
    for module in (cpu, threads):
        monkeypatch.setattr(module, "thread_limit", lambda: 4)
    threads._helpers.cache_clear()
    yield
    threads._helpers().shutdown()
    threads._helpers.cache_clear()


@pytest.mark.usefixtures("four_threads", "kernels_of_any_size")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "int4"])
def test_eight_threads_at_once_get_what_each_would_alone(dtype):
    rng = np.random.default_rng(0)
    documents = MultiVectors.from_list([rng.standard_normal((n, 24)) for n in rng.integers(1, 50, 80)]).astype(dtype)
    queries = [rng.standard_normal((int(n), 24)) for n in rng.integers(1, 40, 8)]
    together = Barrier(8)

    def many(query):
        together.wait()
        return [maxsim(query, documents) for _ in range(25)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(many, queries))
    off = 1e-2 if dtype in ("int8", "int4") else 1e-4  # queries may be rounded to 16 bits
    for query, rounds in zip(queries, found, strict=True):
        assert np.allclose(rounds[0], reference.maxsim(query, documents), rtol=1e-5, atol=off)
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
    blocked = [threads._helpers().submit(together.wait) for _ in range(4)]
    assert maxsim(np.ones((2, 8)), documents).tolist() == [16.0] * 20
    assert not any(future.done() for future in blocked)
    together.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "int4"])
def test_a_forked_child_scores_with_threads_of_its_own(dtype):
    script = """
documents = documents.astype(os.environ["DTYPE"])
cpu.WORTH_A_THREAD = 1
expected = maxsim(query, documents)
together = threading.Barrier(4)
for helper in [threads._helpers().submit(together.wait) for _ in range(4)]:
    helper.result()
assert threading.active_count() == 5, "the parent's pool is not full"
child = os.fork()
if child == 0:
    equal = np.array_equal(maxsim(query, documents), expected)
    os._exit(0 if equal and threading.active_count() > 1 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(maxsim(query, documents), expected)
"""
    run_python(SETUP + script, NUMBA_NUM_THREADS="4", DTYPE=dtype)


def wakes_helpers(monkeypatch, documents):
    woken = []
    monkeypatch.setattr(threads, "_helpers", lambda: woken.append(True) or ThreadPoolExecutor(1))
    maxsim(np.ones((32, 64)), documents)
    return bool(woken)


@pytest.mark.parametrize(("limit", "expected"), [(1, False), (2, True)])
def test_no_more_threads_than_the_limit(monkeypatch, limit, expected):
    monkeypatch.setattr(cpu, "thread_limit", lambda: limit)
    assert wakes_helpers(monkeypatch, MultiVectors.from_list([np.ones((60, 64))] * 400)) == expected


def test_a_small_rerank_wakes_no_helper(monkeypatch):
    monkeypatch.setattr(cpu, "thread_limit", lambda: 2)
    assert not wakes_helpers(monkeypatch, MultiVectors.from_list([np.ones((60, 64))] * 100))


@pytest.mark.skipif(sys.platform != "linux", reason="guards pages with Linux's mprotect")
@pytest.mark.parametrize("path", supported_paths())
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "int4"])
def test_nothing_outside_the_documents_is_read(path, dtype):
    """Documents and scales lie against a page that may not be touched, at its one side and then at its other."""
    script = """
import ctypes, mmap
from vectorplug.multivectors import dtype_of
page, dtype = mmap.PAGESIZE, dtype_of(os.environ["DTYPE"])
mprotect = ctypes.CDLL(None, use_errno=True).mprotect

def guarded(array, at_the_end):
    room = mmap.mmap(-1, -(-array.nbytes // page) * page + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    for guard in (start, start + len(room) - page):
        assert mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    inside = np.frombuffer(room, np.uint8)[page:-page]
    part = inside[len(inside) - array.nbytes :] if at_the_end else inside[: array.nbytes]
    part[:] = array.reshape(-1).view(np.uint8)
    return part.view(array.dtype).reshape(array.shape)

for lengths in [[n] for n in range(1, 40)] + [[40, 1], [1, 40]]:
    for dim in (6, 16, 48, 64) if dtype.name == "int4" else (1, 7, 16, 33, 64):
        tokens = MultiVectors.from_list([rng.standard_normal((n, dim)) for n in lengths]).astype(dtype)
        query = rng.standard_normal((3, dim))
        for at_the_end in (False, True):
            values = guarded(tokens.values, at_the_end)
            scales = None if tokens.scales is None else guarded(tokens.scales, at_the_end)
            documents = MultiVectors(values, tokens.offsets, scales)
            assert np.shares_memory(documents.values, values)
            assert np.allclose(maxsim(query, documents), reference.maxsim(query, documents), rtol=1e-4, atol=1e-3)
print("whole")
"""
    assert run_python(SETUP + script, VECTORPLUG_MAXSIM=path, DTYPE=dtype) == "whole"


@pytest.mark.skipif(sys.platform != "linux", reason="guards pages with Linux's mprotect")
def test_candidates_are_read_where_they_are_and_nothing_else_is():
    """Each document is whole pages of memory, and those of the others may not be touched."""
    script = """
import ctypes, mmap
mprotect = ctypes.CDLL(None, use_errno=True).mprotect
tokens = MultiVectors.from_list([rng.standard_normal((2 * mmap.PAGESIZE // 64, 64)) for _ in range(6)])
for dtype in ("float32", "float16", "bfloat16", "int8", "int4"):
    small = tokens.astype(dtype)
    room = mmap.mmap(-1, small.values.nbytes)
    values = np.frombuffer(room, small.values.dtype).reshape(small.values.shape)
    values[:] = small.values
    store = MultiVectors(values, small.offsets, small.scales)
    size, start = len(room) // 6, ctypes.addressof(ctypes.c_char.from_buffer(room))
    expected = maxsim(query[:3], store)[[4, 1]]
    for other in (0, 2, 3, 5):
        assert mprotect(ctypes.c_void_p(start + other * size), ctypes.c_size_t(size), 0) == 0
    assert np.array_equal(maxsim(query[:3], store, candidates=[4, 1]), expected), dtype
print("whole")
"""
    assert run_python(SETUP + script) == "whole"


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "int4"])
def test_torch_multiplies_in_the_same_threads(dtype):
    """oneDNN uses the matrix unit, too: each finds its shape, whoever was there before."""
    script = """
from concurrent.futures import ThreadPoolExecutor
import torch
documents = documents.astype(os.environ["DTYPE"])
left, right = torch.randn(64, 96).bfloat16(), torch.randn(96, 64).bfloat16()
product, scores = left @ right, maxsim(query, documents)

def both(_):
    turns = [(left @ right, maxsim(query, documents)) for _ in range(20)]
    return all(torch.equal(ours, product) and np.array_equal(found, scores) for ours, found in turns)

with ThreadPoolExecutor(4) as pool:
    print(all(pool.map(both, range(8))))
"""
    assert run_python(SETUP + script, DTYPE=dtype) == "True"


@pytest.mark.skipif("amx" not in supported_paths(), reason="this CPU has no AMX")
def test_the_matrix_unit_is_left_as_it_was():
    script = """
from numba import njit, types
from numba.extending import intrinsic
from vectorplug import emit

def shaping(name):
    @intrinsic
    def shape(_, address):
        def generate(context, builder, signature, arguments):
            pointer = builder.inttoptr(arguments[0], emit.POINTER)
            emit.call(builder, f"llvm.x86.{name}", emit.VOID, pointer)
            return context.get_dummy_value()
        return types.void(types.int64), generate
    return njit(lambda address: shape(address))

read, write = shaping("sttilecfg"), shaping("ldtilecfg")
other, found, none = np.zeros(64, np.uint8), np.ones(64, np.uint8), np.zeros(64, np.uint8)
other[0], other[16:32:2], other[48:56] = 1, 32, 8
write(other.ctypes.data)
for dtype in ("float16", "bfloat16", "int8"):
    stored = documents.astype(dtype)
    assert np.allclose(maxsim(query, stored), reference.maxsim(query, stored), rtol=1e-5)
    read(found.ctypes.data)
    assert np.array_equal(found, other), found
write(none.ctypes.data)
maxsim(query, stored)
read(found.ctypes.data)
assert not found.any()
"""
    run_python(SETUP + script, VECTORPLUG_MAXSIM="amx", NUMBA_NUM_THREADS="1")


def test_a_machine_without_a_folder_for_compiled_code():
    script = "assert np.allclose(maxsim(query, documents), reference.maxsim(query, documents), atol=1e-3)"
    run_python(SETUP + script, VECTORPLUG_MAXSIM="plain", NUMBA_CACHE_LOCATOR_CLASSES="ZipCacheLocator")


def test_a_second_process_reads_the_compiled_code(tmp_path):
    script = """
stored = documents.astype("float16")
maxsim(query, stored)
from vectorplug.maxsim.choosing import kernel_for
from vectorplug.maxsim.walk import compiled
print(sum(compiled(kernel_for("float16", 64)).stats.cache_hits.values()))
"""
    hits = [run_python(SETUP + script, VECTORPLUG_MAXSIM="plain", NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2)]
    assert hits == ["0", "1"]
    assert len(list(tmp_path.rglob("*.nbi"))) == 1, "what no document asked for is compiled, too"


def test_import_is_light():
    script = """
import sys
import vectorplug.maxsim
print(sorted({"numba", "llvmlite", "torch", "safetensors"} & sys.modules.keys()))
"""
    assert run_python(script) == "[]"
