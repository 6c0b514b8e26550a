"""`vectorplug tune`, in this process, with a tiny model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import vectorplug.evaluation.tuning.tuner as tuner
from vectorplug.cli.app import app
from vectorplug.errors import VectorplugError
from vectorplug.evaluation.tuning.lemur_family import LemurFamily
from vectorplug.evaluation.tuning.muvera_family import MuveraFamily
from vectorplug.evaluation.tuning.timing import Sizes
from vectorplug.search import open_store
from vectorplug.search.config import IndexConfig, MuveraConfig

WORDS = ("sea", "ship", "wave", "wind", "salt", "bread", "flour", "oven", "wing", "heat")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 texts, and two FDEs timed at small sizes instead of a search for them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MuveraFamily, "steps", 1)
    monkeypatch.setattr(MuveraFamily, "shortlist", lambda *_: [MuveraConfig(repetitions=4, ksim=2, dproj=8)])
    monkeypatch.setattr(LemurFamily, "shortlist", lambda *_: [])
    monkeypatch.setattr(tuner, "Sizes", lambda: Sizes(16, (0.01, 0.02), (10, 20)))
    made = tmp_path / "texts"
    made.mkdir()
    for i in range(40):
        words = [WORDS[i % 10], WORDS[(i * 3 + 1) % 10], WORDS[(i // 7) % 10]]
        (made / f"{i}.txt").write_text(f"The {words[0]} of {words[1]} and {words[2]} number {i}. More of {words[1]}.")
    return made


def invoke(folder: Path, model: Path, *more: str) -> str:
    command = ["tune", str(folder), "--model", str(model), "--store", "memory:", "--cache", "cache", *more]
    outcome = CliRunner().invoke(app, command)
    if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
        raise outcome.exception
    assert outcome.exit_code == 0, outcome.output
    return outcome.stdout


def test_json_and_the_config(folder: Path, tiny_colbert: Path) -> None:
    said = json.loads(invoke(folder, tiny_colbert, "--json", "--target-recall", "0.2", "--documents-total", "4000"))
    told = said["recommendation"]
    assert {"recall@10", "bytes_per_document", "ms_per_query"} <= told["predicted"].keys()
    assert told["config"] in [choice["config"] for choice in said["front"]]
    assert said["documents_total"] == 4000
    assert "least bytes x milliseconds" in told["why"]
    written = IndexConfig.read("tuned.toml")
    assert written == IndexConfig.of(told["config"])
    # What is there is not written over, unless it is named.
    Path("tuned.toml").write_text("# mine\n")
    shown = invoke(folder, tiny_colbert, "--out", "other.toml")
    assert "recall@10" in shown
    assert "(*)" in shown
    IndexConfig.read("other.toml")
    invoke(folder, tiny_colbert)
    assert Path("tuned.toml").read_text() == "# mine\n"


def test_a_collection_is_tuned_for_and_indexed_again_with_what_was_written(folder: Path, tiny_colbert: Path) -> None:
    indexing = ["index", str(folder), "--model", str(tiny_colbert)]
    assert CliRunner().invoke(app, [*indexing, "--store", "edge:./first"]).exit_code == 0
    tuning = ["tune", "edge:./first", "--target-recall", "0.2", "--cache", "cache", "--json"]
    said = json.loads(CliRunner().invoke(app, tuning).stdout)
    assert said["documents"] == 40
    with open_store("edge:./first") as first:
        assert first.count() == 40
    again = CliRunner().invoke(app, [*indexing, "--store", "edge:./second", "--config", "tuned.toml"])
    assert again.exit_code == 0, again.output
    with open_store("edge:./second") as second:
        assert second.info is not None
        config = said["recommendation"]["config"]
        assert (second.info.mode, second.info.candidates) == (config["mode"], config["candidates"])
        assert len(second.search("the salt of the sea")) == 10


def test_an_interrupted_search_says_so(folder: Path, tiny_colbert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuner, "scored_tokens", interrupted)
    command = ["tune", str(folder), "--model", str(tiny_colbert), "--store", "memory:", "--cache", "cache"]
    outcome = CliRunner().invoke(app, command)
    assert outcome.exit_code == 130
    assert "partial answer" in outcome.stdout


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--target-recall", "1.5"], "target recall is 1.5"),
        (["--budget-bytes", "0"], "budget of bytes is 0"),
        (["--plots", "p"], "--report"),
        (["--documents-total", "3"], "40 documents are here"),
    ],
)
def test_wrong_use(folder: Path, tiny_colbert: Path, more: list[str], said: str) -> None:
    with pytest.raises(VectorplugError, match=said):
        invoke(folder, tiny_colbert, *more)


def test_a_store_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    assert folder.is_dir()
    outcome = CliRunner().invoke(app, ["tune", f"edge:{tmp_path / 'nothing'}"])
    assert isinstance(outcome.exception, VectorplugError)
    assert "does not exist" in str(outcome.exception)
