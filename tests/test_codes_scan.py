"""FDE codes scored where they lie: every tile against decoded documents, and the memory and threads around them."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_features

from vectorplug import threads
from vectorplug.codes import FdeCodes, cpu
from vectorplug.codes.tiles import HEIGHTS

BITS = ("bit/avx512f", "bit/avx2", "bit/plain")
RUNNABLE = [name for name in HEIGHTS if name.split("/")[-1] in ("int8", "plain") or get_host_cpu_features()[name[4:]]]


@pytest.fixture(params=RUNNABLE)
def kind(request, monkeypatch):
    """The kind of each tile that this CPU runs, which scores however many queries there are."""
    monkeypatch.setattr(cpu, "newest", lambda _: request.param)
    monkeypatch.setattr(cpu, "DECODED_FROM", {})
    return request.param.split("/")[0]


@pytest.fixture
def four_threads(monkeypatch):
    """Every call shares its work among four threads, tile by tile."""
    monkeypatch.setattr(cpu, "BYTES_A_PIECE", 1)
    for module in (cpu, threads):
        monkeypatch.setattr(module, "thread_limit", lambda: 4)
    threads._helpers.cache_clear()
    yield
    threads._helpers().shutdown()
    threads._helpers.cache_clear()


def random_codes(kind, n, size, seed=0):
    """Every code there is, bits behind the last number among them."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-128, 128, (n, size if kind == "int8" else -(-size // 8)), np.int8)
    scales = rng.uniform(-1, 2, n).astype(np.float32)
    return FdeCodes(kind, size, values if kind == "int8" else values.view(np.uint8), scales)


def random_queries(*shape):
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def assert_close(scores, codes, queries):
    """To the rounding of sums in float32, whose worst grows with the sizes and not with how they cancel."""
    decoded, exact = codes.decode().astype(np.float64), np.asarray(queries, np.float64)
    assert scores.dtype == np.float32
    assert (np.abs(scores - exact @ decoded.T) <= 1e-6 * (np.abs(exact) @ np.abs(decoded).T)).all()


def test_there_is_a_tile_for_every_kind():
    assert set(HEIGHTS) == {"int8", *BITS}
    assert {"int8", "bit/plain"} <= set(RUNNABLE)
    assert cpu.newest("int8") == "int8"
    assert cpu.newest("bit") == next(name for name in BITS if name in RUNNABLE)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 63, 64, 65, 100, 511, 512, 513, 10_240])
def test_scores_are_inner_products(kind, size):
    for n in (0, 1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 70):
        codes, queries = random_codes(kind, n, size), random_queries(3, size)
        scores = codes.scores(queries)
        assert scores.shape == (3, n)
        assert_close(scores, codes, queries)
        assert np.array_equal(codes.scores(queries[1]), scores[1])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_in_a_query_stays_so(kind, wrong):
    codes, query = random_codes(kind, 40, 600), random_queries(600)
    query[7] = wrong
    np.testing.assert_allclose(codes.scores(query), codes.decode() @ query, rtol=1e-4)
    query[8] = -wrong
    with np.errstate(invalid="ignore"):
        expected = codes.decode() @ query
    np.testing.assert_allclose(codes.scores(query), expected, rtol=1e-4)


def test_arrays_are_read_however_they_lie(kind, tmp_path):
    codes, query = random_codes(kind, 150, 700), random_queries(700)
    expected = codes.scores(query)
    file = tmp_path / "codes"
    file.write_bytes(b"?" + codes.values.tobytes() + codes.scales.tobytes())
    mapped = np.memmap(file, codes.values.dtype, "r", 1, codes.values.shape)
    scales = np.memmap(file, np.float32, "r", 1 + codes.values.nbytes, (150,))
    assert not scales.flags.aligned
    assert np.array_equal(FdeCodes(kind, 700, mapped, scales).scores(query), expected)
    read_only = codes.values.copy()
    read_only.setflags(write=False)
    assert np.array_equal(FdeCodes(kind, 700, read_only, codes.scales).scores(query), expected)
    columns = np.asfortranarray(codes.values)
    assert np.array_equal(FdeCodes(kind, 700, columns, codes.scales).scores(query), expected)
    backwards = FdeCodes(kind, 700, codes.values[::-1], codes.scales[::-1])
    assert np.array_equal(backwards.scores(query), expected[::-1])
    wide = np.repeat(np.repeat(codes.values, 2, axis=1), 3, axis=0)
    assert np.array_equal(FdeCodes(kind, 700, wide[::3, ::2], np.repeat(codes.scales, 3)[::3]).scores(query), expected)
    assert np.array_equal(codes.scores(np.repeat(query, 2)[::2].astype(np.float64)), expected)


@pytest.mark.usefixtures("four_threads")
def test_scores_have_the_same_bits_in_any_batch_on_any_number_of_threads(kind, monkeypatch):
    codes, queries = random_codes(kind, 300, 1000), random_queries(3, 1000)
    shared_out = codes.scores(queries)
    alone = [FdeCodes(kind, 1000, codes.values[i : i + 1], codes.scales[i : i + 1]) for i in range(300)]
    assert np.array_equal(np.concatenate([one.scores(queries) for one in alone], axis=1), shared_out)
    monkeypatch.setattr(cpu, "thread_limit", lambda: 1)
    assert np.array_equal(codes.scores(queries), shared_out)


@pytest.mark.usefixtures("four_threads")
def test_eight_threads_at_once_get_what_each_would_alone(kind):
    codes, queries = random_codes(kind, 500, 300), random_queries(8, 300)
    together = Barrier(8)

    def many(query):
        together.wait()
        return [codes.scores(query) for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(many, queries))
    expected = codes.scores(queries)
    assert all(np.array_equal(scores, row) for rounds, row in zip(found, expected, strict=True) for scores in rounds)


@pytest.mark.parametrize(("documents", "limit", "woken"), [(100, 4, 0), (1000, 4, 3), (300, 4, 2), (1000, 1, 0)])
def test_as_many_threads_as_there_is_work_for(monkeypatch, documents, limit, woken):
    """A piece is about a hundred documents of 10,240 numbers."""
    asked = []
    monkeypatch.setattr(cpu, "thread_limit", lambda: limit)
    monkeypatch.setattr(cpu, "run_in_threads", lambda work, count: asked.append(count) or work())
    random_codes("int8", documents, 10_240).scores(random_queries(10_240))
    assert asked == [woken + 1]


@pytest.mark.parametrize(("kind", "name"), [("int8", "int8"), ("bit", "bit/plain")])
def test_many_queries_are_a_product_of_decoded_documents(kind, name, monkeypatch):
    monkeypatch.setattr(cpu, "newest", lambda _: name)
    codes, queries = random_codes(kind, 50, 70), random_queries(cpu.DECODED_FROM[name], 70)
    assert np.array_equal(codes.scores(queries[:-1])[0], codes.scores(queries[0]))
    monkeypatch.setattr(cpu, "scan", lambda *_: pytest.fail("scanned"))
    monkeypatch.setattr("vectorplug.codes.fde_codes.DECODED_AT_ONCE", 1000)
    assert_close(codes.scores(queries), codes, queries)


def run_python(script):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=os.environ | {"NUMBA_NUM_THREADS": "4"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stderr}"


@pytest.mark.skipif(sys.platform != "linux", reason="guards pages with Linux's mprotect")
def test_nothing_outside_the_codes_is_read():
    """Codes and scales lie against a page that may not be touched, at its one side and then at its other."""
    script = """
import ctypes, mmap
import numpy as np
from vectorplug.codes import FdeCodes, cpu

page, mprotect = mmap.PAGESIZE, ctypes.CDLL(None, use_errno=True).mprotect
rng = np.random.default_rng(0)

def guarded(array, at_the_end):
    room = mmap.mmap(-1, -(-array.nbytes // page) * page + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    for guard in (start, start + len(room) - page):
        assert mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), 0) == 0
    inside = np.frombuffer(room, np.uint8)[page:-page]
    part = inside[len(inside) - array.nbytes :] if at_the_end else inside[: array.nbytes]
    part[:] = array.reshape(-1).view(np.uint8)
    return part.view(array.dtype).reshape(array.shape)

for name in RUNNABLE:
    cpu.newest = lambda _: name
    for n in (1, 3, 4, 17, 33):
        for size in (1, 9, 63, 64, 65, 513, 1100):
            codes = FdeCodes.of(rng.standard_normal((n, size)), name.split("/")[0])
            query = rng.standard_normal(size)
            for at_the_end in (False, True):
                placed = FdeCodes(codes.kind, size, *(guarded(a, at_the_end) for a in (codes.values, codes.scales)))
                assert np.array_equal(placed.scores(query), codes.scores(query))
"""
    run_python(script.replace("RUNNABLE", repr(RUNNABLE)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_scores_with_threads_of_its_own():
    script = """
import os, threading
import numpy as np
from vectorplug import threads
from vectorplug.codes import FdeCodes, cpu

cpu.BYTES_A_PIECE = 1
codes = FdeCodes.of(np.random.default_rng(0).standard_normal((900, 64)), "int8")
query = np.arange(64)
expected = codes.scores(query)
together = threading.Barrier(4)
for helper in [threads._helpers().submit(together.wait) for _ in range(4)]:
    helper.result()
assert threading.active_count() == 5, "the parent's pool is not full"
child = os.fork()
if child == 0:
    equal = np.array_equal(codes.scores(query), expected)
    os._exit(0 if equal and threading.active_count() > 1 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(codes.scores(query), expected)
"""
    run_python(script)
