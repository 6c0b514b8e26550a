"""`vectorplug index --compressor lemur` and `vectorplug refit`, in this process, with a tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vectorplug.cli.app import app
from vectorplug.errors import ConfigurationError, VectorplugError
from vectorplug.search import open_store

SMALL = "[fde]\nkind = 'lemur'\nsize = 8\nfeatures = 32\nsamples = 64\n"
WORDS = ("sea", "ship", "wave", "wind", "salt", "bread", "flour", "oven", "wing", "heat")


def write(path: Path, first: int, last: int) -> None:
    def text(i: int) -> str:
        one, two, three, four = (WORDS[j % 10] for j in (i, i * 3 + 1, i // 7, i * i))
        return f"The {one} of {two} and {three}. More of {four}."

    lines = [json.dumps({"_id": f"{path.stem}{i}", "text": text(i)}) for i in range(first, last)]
    path.write_text("\n".join(lines))


@pytest.fixture
def call(tmp_path: Path, tiny_colbert: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VECTORPLUG_MODEL", raising=False)
    Path("small.toml").write_text(f"model = {str(tiny_colbert)!r}\n{SMALL}")
    write(Path("texts.jsonl"), 0, 100)

    def invoke(*arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
        outcome = CliRunner().invoke(app, [*arguments, "--store", "edge:./index", "--json"])
        if outcome.exception is not None and not isinstance(outcome.exception, SystemExit):
            raise outcome.exception
        assert outcome.exit_code == code, outcome.output
        return json.loads(outcome.stdout), outcome.stderr

    return invoke


def test_it_is_fitted_once(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    indexing = ("index", "texts.jsonl", "--config", "small.toml", "--compressor", "lemur")
    said, told = call(*indexing)
    assert (said["added"], said["fit"]["texts"], said["fit"]["sampled"], said["drift"]) == (100, 100, 100, None)
    assert "fitted to 100 of 100 texts in" in told
    fingerprint = said["fit"]["fingerprint"]
    for more in (indexing, ("index", "texts.jsonl"), ("index", "texts.jsonl", "--compressor", "lemur")):
        again, _ = call(*more)
        assert (again["added"], again["unchanged"], again["fit"]) == (0, 100, None)
    with open_store("edge:./index") as store:
        assert store.info is not None
        assert store.info.fde == fingerprint
    with pytest.raises(ConfigurationError, match=r"has lemur1:.*, --compressor asks for muvera: leave it out"):
        call("index", "texts.jsonl", "--compressor", "muvera")
    with pytest.raises(ConfigurationError, match=r"fde\.kind is 'plaid', expected 'muvera' or 'lemur'"):
        call("index", "texts.jsonl", "--compressor", "plaid", "--model", "none")
    # Documents of the same kind, and a threshold that they pass.
    write(Path("more.jsonl"), 100, 200)
    same, told = call("index", "more.jsonl")
    assert 0.5 < same["drift"] < 1.5
    assert "refit" not in told
    monkeypatch.setattr("vectorplug.search.fitting.REFIT_FROM", 0.1)
    write(Path("others.jsonl"), 200, 300)
    _, told = call("index", "others.jsonl")
    assert "`vectorplug refit --store edge:./index" in " ".join(told.split())


def test_nothing_to_fit_on(call: Any) -> None:
    Path("empty").mkdir()
    with pytest.raises(VectorplugError, match="nothing to fit on"):
        call("index", "empty", "--config", "small.toml")
    assert not Path("index/docs").exists()


def test_refit(call: Any) -> None:
    call("index", "texts.jsonl", "--config", "small.toml")
    # The collection has its documents in another order than the file.
    assert call("refit")[0]["switched"]
    said, _ = call("refit")
    assert (said["switched"], said["documents"]) == (False, 0)
    write(Path("more.jsonl"), 100, 200)
    call("index", "more.jsonl")
    said, _ = call("refit")
    assert (said["switched"], said["documents"], said["filled"], said["refused"]) == (True, 200, 200, [])
    hits, _ = call("search", "the sea and the wind")
    assert len(hits) == 10
    said, _ = call("refit", "--compressor", "muvera")
    assert said["switched"]
    assert said["fde"].startswith("muvera1:")
    hits, _ = call("search", "the sea and the wind")
    assert len(hits) == 10
