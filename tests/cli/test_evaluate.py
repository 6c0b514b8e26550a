"""`vectorplug eval` in this process: folders of texts, stores, and what cannot be evaluated."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from vectorplug.cli.app import app
from vectorplug.errors import VectorplugError
from vectorplug.settings import settings

WORDS = ("sea", "ship", "wave", "wind", "salt", "bread", "flour", "oven", "wing", "heat")
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, tiny_dense: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("VECTORPLUG_MODEL", str(tiny_dense))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    settings.cache_clear()

    def run_(*arguments: str) -> Result:
        return CliRunner().invoke(app, arguments)

    return run_


@pytest.fixture(autouse=True)
def _settings_are_read_again() -> Any:
    yield
    settings.cache_clear()


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    folder = tmp_path / "texts"
    folder.mkdir()
    for i, word in enumerate(WORDS):
        (folder / f"{word}.txt").write_text(f"The {word} is of the {WORDS[i - 1]}. And more.")
        (folder / f"{i}.md").write_text(f"# {word} and {WORDS[i - 3]} are here\n\nnot there")
    return folder


@pytest.mark.usefixtures("texts")
def test_a_pile_of_texts_alone(run: Run, tmp_path: Path) -> None:
    answer = json.loads(run("eval", "texts", "--json").stdout)
    assert (answer["documents"], answer["queries"], answer["compared"]) == (20, 20, "overlap@10")
    assert answer["target"] == "exact MaxSim over all 20 documents; nothing is judged"
    assert answer["modes"]["native"]["overlap@10"] == 1
    assert answer["modes"]["dense"]["ndcg@10"] is None
    assert answer["modes"]["dense"]["intervals"]["rbo"].keys() == {"mean", "low", "high"}
    assert len(answer["per_query"]) == 20
    assert any("20 were drawn from the 20 documents" in note for note in answer["notes"])
    assert list((tmp_path / "caches" / "vectorplug" / "encoded").glob("document-*"))
    shown = run("eval", "texts", "--losers", "1", "--questions", "15")
    lines = shown.stdout.splitlines()
    assert lines[1] == "target: exact MaxSim over all 20 documents; nothing is judged"
    assert lines[2].split() == ["mode", "overlap@10", "95", "%", "p", "RBO", "10R@100", "bytes", "ms"]
    assert max(map(len, lines[2:8])) <= 80
    assert lines[3].split()[:4] == ["native", "1.0000", "1.000-1.000", "-"]
    assert "15 queries" in lines[0]


@pytest.mark.usefixtures("texts")
def test_a_store_that_exists(run: Run, tmp_path: Path) -> None:
    assert run("index", "texts", "--store", "edge:./index", "--mode", "fde+rerank").exit_code == 0
    (tmp_path / "asked.txt").write_text("the sea and salt\nbread of the oven\n")
    arguments = ("eval", "edge:./index", "--queries", "asked.txt", "--json")
    answer = json.loads(run(*arguments).stdout)
    assert (answer["collection"], answer["store"], answer["queries"]) == ("docs", "edge:./index", 2)
    assert list(answer["modes"]) == ["native", "fde", "fde+rerank"]
    assert answer["target"] == "exact MaxSim over all 20 documents, encoded again; nothing is judged"
    assert answer["modes"]["native"]["overlap@10"] == answer["modes"]["fde+rerank"]["overlap@10"] == 1
    few = json.loads(run(*arguments, "--documents", "5", "--modes", "fde").stdout)
    assert few["target"].startswith("the store's exact MaxSim over all 20 documents, as native ranks them")
    assert few["modes"]["fde"]["overlap@10"] == answer["modes"]["fde"]["overlap@10"]
    (tmp_path / "judged.tsv").write_text("1\ttexts/salt.txt\t1\n")
    judged = json.loads(run(*arguments, "--qrels", "judged.tsv").stdout)
    assert (judged["queries"], judged["compared"]) == (1, "ndcg@10")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere is no folder; expected one with corpus"),
        (("edge:./none",), "collection 'docs' does not exist: there is nothing to evaluate"),
        (("ftp:x",), "has no known scheme"),
        (("empty",), "is no collection: it has no corpus"),
        (("one",), "has one document and no queries"),
        (("texts", "--qrels", "judged.tsv"), "judges queries, and texts has no queries"),
        (("texts", "--queries", "none.txt"), "none.txt holds no query"),
        (("texts", "--modes", "fast"), "mode 'fast' is not one of native"),
    ],
)
@pytest.mark.usefixtures("texts")
def test_what_cannot_be_evaluated_is_one_line(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.txt").write_text("The sea is here.")
    (tmp_path / "judged.tsv").write_text("q\td\t1\n")
    (tmp_path / "none.txt").write_text("\n")
    outcome = run("eval", *arguments)
    assert isinstance(outcome.exception, VectorplugError), outcome.output
    assert message in str(outcome.exception)
    assert not (tmp_path / "none").exists()
