"""What is compiled, when, and that it is never older than its source."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import vectorplug

PACKAGE = Path(vectorplug.__file__).parent


def run_python(script: str, folder: Path = PACKAGE.parent, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=folder,  # before all other folders that packages are looked for in
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_after_compile_all_nothing_is_left_to_compile() -> None:
    script = """
import numpy as np
from numba.core import event
from vectorplug import Lemur, MultiVectors, Muvera, maxsim
from vectorplug.codes import FdeCodes
from vectorplug.kernels import compile_all

compile_all()
with event.install_recorder("numba:compile") as later:
    tokens = MultiVectors.from_list([np.ones((n, 16)) for n in (3, 40)])
    for dtype in ("float32", "float16", "bfloat16", "int8", "int4"):
        stored = tokens.astype(dtype)
        maxsim(tokens, stored), maxsim(tokens[0], stored, candidates=[1])
    for muvera in (Muvera(dim=16, dproj=8), Muvera.preset("google", dim=16, fill=False, final_dim=40, unit_norm=True)):
        muvera.encode_documents(tokens), muvera.encode_queries(tokens, dtype="float16")
    many = MultiVectors(np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32), [0, 90, 120, 200])
    lemur = Lemur(dim=16, size=8, features=20, samples=40).fit(many)
    lemur.encode_documents(many), lemur.encode_queries(many), lemur.encode_queries(many[:1])
    for kind in ("int8", "bit"):
        FdeCodes.of(np.eye(9), kind).scores(np.ones(9)), FdeCodes.of(np.eye(9), kind).scores(np.eye(9))
print([each[1].data["dispatcher"].py_func.__name__ for each in later.buffer if each[1].is_start])
"""
    assert run_python(script) == "[]"


def test_a_changed_tile_is_never_read_from_the_disk_as_it_was(tmp_path: Path) -> None:
    """Files that generate code, and are not those in which numba finds the functions: a copy of the package, edited."""
    copy = tmp_path / "copy" / "vectorplug"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    script = """
import logging
import sys
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
import numpy as np
from vectorplug import MultiVectors, maxsim
from vectorplug.codes import FdeCodes
from vectorplug.muvera.kernels import _sum

print(maxsim(np.ones((1, 2)), MultiVectors(np.float32([[1, 1], [3, 3]]), [0, 2]))[0])
rows = np.zeros((1, 32), np.float32)
_sum(np.ones((2, 32), np.float32), np.arange(2), np.array([2]), 1, rows)
print(rows[0, 0])
print(FdeCodes.of(np.ones((1, 2)), "bit").scores(np.ones(2))[0])
assert "copy" in sys.modules["vectorplug"].__file__
"""
    where = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "VECTORPLUG_MAXSIM": "plain"}
    said = "Compiling kernels for this CPU: once, some seconds each."
    assert run_python(script, copy.parent, **where).split("\n") == [said, "6.0", "2.0", "2.0"]
    assert run_python(script, copy.parent, **where).split("\n") == ["6.0", "2.0", "2.0"]
    for name, before, after in (
        ("emit.py", 'fcmp_ordered(">"', 'fcmp_ordered("<"'),
        ("muvera/simd.py", "builder.store(builder.fadd(", "builder.store(builder.fsub("),
        ("codes/tiles.py", "totals[step % 4] = builder.fadd(", "totals[step % 4] = builder.fsub("),
    ):
        text = (copy / name).read_text()
        assert before in text
        (copy / name).write_text(text.replace(before, after))
    assert run_python(script, copy.parent, **where).split("\n") == [said, "-inf", "-2.0", "-2.0"]
