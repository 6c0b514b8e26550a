"""The page of benchmarks: processes that take turns, and a page that hides nothing."""

import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pip install 'vectorplug[report]' draws the figures")

from benchmarks.page.asking import Child, ChildError
from benchmarks.page.data import write_random
from benchmarks.page.machine import Machine
from benchmarks.page.methods.cost import CODES, TOKEN_DTYPES, WORKS
from benchmarks.page.page import write_page
from benchmarks.page.part import Curve, Line, Part, Point, Row, Table, Taken
from benchmarks.page.peers import interpreters
from benchmarks.page.sheet import modes
from benchmarks.page.turns import Bench, Entry, take_turns

BENCH = Bench({}, 1, Path("nowhere"))
ASKED = {"queries": [1]}
NUMPY = Entry("NumPy", "maxsim:numpy", "numpy", ASKED)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    write_random(tmp_path, np.array([3, 5, 4]), 1)
    return tmp_path


def test_turns_are_taken_and_what_is_found_comes_back(room: Path) -> None:
    only = Entry("alone", "maxsim:numpy", "numpy", ASKED, works=["1"], items=10**9)
    first, second = take_turns(BENCH, [NUMPY, only], room, {"1": 3, "best": 1}, results=["best"])
    assert [len(first.seconds["1"]), len(first.seconds["best"]), len(second.seconds["1"])] == [3, 1, 3]
    assert max(second.seconds["1"]) < 1e-6, "the time of one of a turn's pieces of work"
    assert "best" not in second.seconds
    assert "best" not in second.results
    assert first.peak_mb is not None
    assert first.peak_mb > 1
    assert set(first.versions) == {"numpy"}
    documents = np.split(np.load(room / "documents.npy"), [3, 8])
    query = np.load(room / "queries.npy")
    exact = sorted((float((query @ each.T).max(axis=1).sum()) for each in documents), reverse=True)
    assert np.allclose(first.results["best"], exact, rtol=1e-5)


def test_who_dies_or_is_missing_is_told_and_the_others_go_on(room: Path) -> None:
    entries = [
        Entry("goes on", "maxsim:numpy", "numpy", ASKED, works=["1"]),
        Entry("PyLate", "maxsim:pylate", "pylate", ASKED),
        Entry("no Python", "maxsim:colbert_ai", "colbert-ai", ASKED),
        Entry("dies when it prepares", "maxsim:numpy", "numpy", {"queries": [1], "no": "such option"}),
        # Two queries were not prepared.
        Entry("dies in a turn", "maxsim:product", "numpy", ASKED),
    ]
    bench = Bench({"colbert-ai": str(room / "no-python")}, 1, room)
    well, absent, no_python, unprepared, dead = take_turns(bench, entries, room, {"1": 2, "2": 1})
    assert well.missing is None
    assert len(well.seconds["1"]) == 2
    assert absent.missing == (
        'missing: `pip install pylate` into an environment of its own, then `make bench PEERS="pylate=ITS_PYTHON"`'
    )
    assert no_python.missing == "its Python does not start: No such file or directory"
    assert unprepared.missing is not None
    assert unprepared.missing.startswith("died (prepare): TypeError")
    assert dead.missing == "died (turn): KeyError: '2'"
    assert not dead.seconds, "what it did before it died is no figure"
    assert dead.peak_mb is None


def test_places_of_the_machine_are_left_out_of_errors(tmp_path: Path) -> None:
    (outcome,) = take_turns(BENCH, [NUMPY], tmp_path, {"1": 1})
    assert outcome.missing is not None
    assert "documents.npy" in outcome.missing
    assert str(tmp_path) not in outcome.missing


def test_who_is_killed_says_by_what() -> None:
    child = Child(sys.executable, 1, {})
    try:
        assert child.ask({"do": "peak"}, 60)["peak_mb"] > 1
        os.kill(child.process.pid, signal.SIGSEGV)
        with pytest.raises(ChildError, match=re.escape("died (peak): killed by SIGSEGV")):
            child.ask({"do": "peak"}, 60)
    finally:
        child.close()


def test_who_hangs_is_ended() -> None:
    child = Child(sys.executable, 1, {})
    try:
        with pytest.raises(ChildError, match=re.escape("no answer within 0 s (peak)")):
            child.ask({"do": "peak"}, 0.0)
    finally:
        child.close()


def test_interpreters_are_of_peers() -> None:
    assert interpreters(["pylate=a/python"]) == {"pylate": "a/python"}
    for wrong in ("nobody=python", "pylate", "pylate="):
        with pytest.raises(ValueError, match="NAME=PYTHON"):
            interpreters([wrong])


def test_what_is_told_of_turns_is_the_median_in_milliseconds() -> None:
    assert Taken.of([0.004, 0.001, 0.002]) == Taken(median=2, least=1, most=4, rounds=3)


def taken(median: float) -> Taken:
    return Taken(median=median, least=median / 2, most=2 * median, rounds=5)


MACHINE = Machine(cpu="a CPU", features=("avx2",), cores=2, memory_gb=8, system="Linux", python="3.11", threads=2)
ROWS = (
    Row(name="ours", peer="vectorplug", taken=taken(10), peak_mb=100, facts={"difference": 0.0}),
    Row(name="faster", peer="torch", taken=taken(5), peak_mb=200),
    Row(name="slower", peer="numpy", taken=taken(30), peak_mb=50, facts={"difference": 1e-5}),
    Row(name="a bound", peer="numpy", taken=taken(2), rival=False),
    Row(name="not there", peer="pylate", missing="missing: `pip install pylate`"),
)
TABLE = Table(name="tiny", title="Tiny", items=100, unit="documents", rows=ROWS, facts=("difference",))
CURVE = Curve(
    name="growth-tiny",
    title="Time by documents",
    said="Synthetic.",
    x="documents",
    lines=(
        Line(name="ours", peer="vectorplug", points=(Point(x=1e3, taken=taken(1)), Point(x=1e6, taken=taken(900)))),
        Line(name="short", peer="numpy", points=(Point(x=1e3, taken=taken(4)),)),
        Line(name="gone", peer="pylate", missing="died"),
    ),
)


def part(section: str, **fields: object) -> Part:
    return Part(section=section, machine=MACHINE, versions={"numpy": "2"}, seconds=60, **fields)


def costs() -> Part:
    """Every work takes 0.001 ms, every vector 100 bytes."""
    sizes = [f"tokens {dtype}" for dtype in TOKEN_DTYPES] + ["dense float32"]
    sizes += [f"{name} {code}" for name in ("fde", "lemur") for code in CODES]
    return part("cost", costs=dict.fromkeys(WORKS, 0.001) | dict.fromkeys(sizes, 100.0))


def test_a_page_prints_losses_like_wins(tmp_path: Path) -> None:
    encode = part("encode", costs={"document": 5.0, "tokens": 80.0, "query": 2.0})
    write_page(tmp_path, [part("maxsim", tables=(TABLE,)), encode, part("growth", curves=(CURVE,)), costs()])
    page = (tmp_path / "benchmarks.md").read_text("utf-8")
    assert "**Lost** (1 of 2" in page
    assert "- **0.50** Tiny: faster" in page
    assert "- 3.00 Tiny: slower" in page
    assert "| faster | 5 (2.5 - 10) | 20,000 | **0.50** |  |" in page
    assert "| slower | 30 (15 - 60) | 3,333 | 3.00 | 1e-05 |" in page
    # Less work than ours is no loss.
    assert "| a bound | 2 (1 - 4) | 50,000 | 0.20 |  |" in page
    assert "| not there | missing: `pip install pylate` |" in page
    assert "| short | 4 (2 - 8) |  |" in page
    assert "| gone (died) |  |  |" in page
    assert "| MaxSim | faster | 200 |" in page
    assert "maxsim, encode, growth, cost: a CPU (avx2), 2 cores, 8 GB" in page
    for name in re.findall(r'(?:src|srcset)="([^"]+)"', page):
        assert (tmp_path / name).with_suffix(".png").read_bytes()[:4] == b"\x89PNG"
        assert (tmp_path / name).read_bytes()[:5] == b"<?xml"
    assert not re.search(r"(?<![\w.<])/(?:\w+/)+", page), "a place of this machine"


def test_the_cost_sheet_is_its_formula() -> None:
    encode = part("encode", costs={"document": 5.0, "tokens": 80.0, "query": 2.0})
    found = {(mode.name, mode.found_by, mode.ranked_by): mode for mode in modes(costs(), encode)}
    assert len(found) == 5 + 2 * 3 * 6 + 6
    native = found["native", "tokens int8", ""]
    assert (native.bytes, native.index) == (100, 10)
    assert native.query(1e6) == pytest.approx(2 + 1000)
    both = found["fde+rerank", "FDE of 10,240 bit", "tokens int4"]
    assert both.bytes == 200
    assert both.index == pytest.approx(10.001)
    assert both.query(1e6) == pytest.approx(2 + 0.002 + 1000)
    assert next(modes(costs(), None)).index is None


def test_a_page_of_nothing(tmp_path: Path) -> None:
    write_page(tmp_path, [])
    assert "Nothing has been measured yet." in (tmp_path / "benchmarks.md").read_text("utf-8")


def test_a_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = part("maxsim", tables=(TABLE,), curves=(CURVE,))
    kept.write(tmp_path)
    assert Part.read(tmp_path, "maxsim") == kept
    assert Part.read(tmp_path, "fde") is None
