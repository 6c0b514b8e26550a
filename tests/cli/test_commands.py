"""The command line as a person uses it: real processes, real files, a real model from a package or a tiny one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vectorplug import __version__
from vectorplug.cli.app import app

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path, tiny_colbert: Path) -> Run:
    def run_(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "VECTORPLUG_MODEL": str(tiny_colbert), "COLUMNS": "100"}
        program = Path(sys.executable).with_name("vectorplug")
        return subprocess.run(
            [program, *arguments],
            cwd=tmp_path,
            env=environment | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    return run_


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    lines = [
        json.dumps({"_id": "ship", "title": "A ship", "text": "on the sea with wind and salt"}),
        "{broken",
        json.dumps({"_id": "bread", "title": "", "text": "flour and yeast in the oven"}),
        json.dumps({"_id": "wing", "title": "A wing", "text": "lift and drag in the flow"}),
    ]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines))
    return tmp_path


@pytest.mark.usefixtures("corpus")
def test_index_then_search(run: Run) -> None:
    indexed = run("index", "corpus.jsonl", "--store", "edge:./index", "--json")
    assert indexed.returncode == 0, indexed.stderr
    report = json.loads(indexed.stdout)
    assert (report["added"], report["unchanged"], report["documents"]) == (3, 0, 3)
    assert [(line["path"], line["line"]) for line in report["broken_lines"]] == [("corpus.jsonl", 2)]
    assert "corpus.jsonl:2" in indexed.stderr
    assert "passages" not in indexed.stderr

    again = json.loads(run("index", "corpus.jsonl", "--store", "edge:./index", "--json").stdout)
    assert (again["added"], again["unchanged"], again["documents"]) == (0, 3, 3)

    found = run("search", "wind on the sea", "--store", "edge:./index", "--limit", "2", "--json")
    hits = json.loads(found.stdout)
    assert len(hits) == 2
    assert hits[0].keys() == {"id", "score", "payload"}
    assert hits[0]["score"] >= hits[1]["score"]
    shown = run("search", "wind on the sea", "--store", "edge:./index", "--limit", "1").stdout
    assert hits[0]["id"] in shown
    assert "\x1b" not in shown  # no colours in a pipe


def test_a_text_that_is_cut_is_told(tmp_path: Path, tiny_colbert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("long.txt").write_text("the sea " * 5000)
    asked = ["index", "long.txt", "--store", "edge:./index", "--model", str(tiny_colbert), "--json"]
    indexed = CliRunner().invoke(app, asked)
    assert json.loads(indexed.stdout)["truncated"] == 1
    assert "of 1 texts the model reads the beginning alone" in " ".join(indexed.stderr.split())
    assert "passages" in indexed.stderr


@pytest.mark.usefixtures("corpus")
def test_backfill(run: Run) -> None:
    run("index", "corpus.jsonl", "--store", "edge:./index", "--mode", "dense")
    asked = ("backfill", "--store", "edge:./index", "--outputs", "tokens,fde")
    assert "3 documents lack vectors" in run(*asked, "--dry-run").stdout
    done = json.loads(run(*asked, "--json").stdout)
    assert (done["documents"], done["filled"], done["refused"]) == (3, 3, [])
    found = run("search", "wind on the sea", "--store", "edge:./index", "--mode", "fde+rerank", "--explain", "--json")
    explained = json.loads(found.stdout)
    assert explained["hits"][0]["id"] == "ship"
    assert [stage["name"] for stage in explained["stages"]] == ["encode", "fde", "rerank"]
    assert explained["stages"][2]["candidates"] == [[hit["id"], hit["score"]] for hit in explained["hits"]]


def test_a_failure_is_one_line_with_the_fix_and_exit_1(run: Run) -> None:
    missing = run("search", "x", "--store", "edge:./nothing-here")
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: ")
    assert missing.stderr.count("\n") == 1
    assert not Path("nothing-here").exists()
    unknown = run("index", ".", "--model", "answerai-colbert-smal")
    assert unknown.returncode == 1
    assert "Did you mean answerai-colbert-small" in unknown.stderr
    scheme = run("search", "x", "--store", "nowhere:5")
    assert "edge:..." in scheme.stderr


def test_wrong_use_is_exit_2(run: Run) -> None:
    assert run("index").returncode == 2
    assert run("search", "x", "--limit", "0").returncode == 2
    assert run("no-such-command").returncode == 2
    assert run("index", "no-such-file.jsonl").returncode == 2


def test_eval_prints_a_table_and_the_promised_json(run: Run, corpus: Path) -> None:
    folder = corpus / "collection"
    folder.mkdir()
    documents = [json.dumps({"_id": str(i), "title": "", "text": f"document number {i}"}) for i in range(20)]
    (folder / "corpus.jsonl").write_text("\n".join(documents))
    queries = [json.dumps({"_id": f"q{i}", "text": f"number {i}"}) for i in range(3)]
    (folder / "queries.jsonl").write_text("\n".join(queries))
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq0\t0\t1\nq1\t1\t1\nq2\t2\t1\n")
    answer = json.loads(run("eval", "collection", "--json", "--cache", "cache").stdout)
    assert answer["collection"] == "collection"
    assert set(answer["modes"]) == {"native", "fde", "fde+rerank", "dense", "dense+rerank"}
    for figures in answer["modes"].values():
        assert {"ndcg@10", "recall@100", "overlap@10", "bytes_per_document", "ms_per_query"} <= figures.keys()
        assert figures["ms_per_query"].keys() >= {"p50", "p95"}
    assert answer["modes"]["native"]["overlap@10"] == 1
    table = run("eval", "collection", "--modes", "native,fde", "--cache", "cache", "--losers", "1", COLUMNS="80")
    assert table.returncode == 0, table.stderr
    assert "nDCG@10" in table.stdout
    assert "target: people's judgements; overlap and RBO: exact MaxSim over all 20 documents" in table.stdout
    listing = table.stdout.splitlines()[2:5]
    assert [line.split()[0] for line in listing] == ["mode", "native", "fde"]
    assert max(map(len, listing)) <= 80
    assert "note: the encoded texts are kept in cache" in table.stderr
    assert run("eval", "collection", "--modes", "sparse").returncode == 1


def test_models(run: Run) -> None:
    names = {entry["name"] for entry in json.loads(run("models", "list", "--json").stdout)}
    assert {"minilm", "answerai-colbert-small", "colbertv2"} <= names
    assert "answerdotai/answerai-colbert-small-v1" in run("models").stdout
    shown = json.loads(run("models", "show", "colbertv2", "--json").stdout)
    assert shown["hub_id"] == "colbert-ir/colbertv2.0"
    offline = run("models", "pull", "colbertv2", HF_HOME=str(Path("nowhere")))
    assert offline.returncode == 1
    assert "hub cannot be reached" in offline.stderr


def test_doctor_answers_in_both_forms(run: Run) -> None:
    found = json.loads(run("doctor", "--json").stdout)
    assert found["versions"]["vectorplug"] == __version__
    assert {"edge", "memory"} <= found["stores"].keys()
    assert found["processor"]["cores"] >= 1
    assert "torch" in run("doctor").stdout


def test_version(run: Run) -> None:
    assert run("--version").stdout.strip() == __version__
