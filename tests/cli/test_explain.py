"""`vectorplug explain`, in this process, over a small embedded collection of a tiny model."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from browser import look

import vectorplug.cli
from vectorplug import Vectorizer, open_store

TEXTS = [
    "A ship on the sea with wind & salt <b>.",
    "Flour and yeast in the oven: bread!",
    "The wing has lift and drag in the flow.",
    "Heat goes through a wall.",
    "The wave of the sea is on the shore. " + "Yeast in the wall, heat. " * 30,
]
QUESTION = "wind on the sea"


@pytest.fixture(scope="module")
def url(tiny_colbert: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("stores")
    vectorizer = Vectorizer(str(tiny_colbert), device="cpu", dtype="float32")
    made = f"edge:{folder / 'index'}"
    with open_store(made, vectorizer=vectorizer) as store:
        store.add(TEXTS, ids=["ship", "bread", 3, "wall", "long"], payloads=[{"title": "Sea & [ship]"}, *[{}] * 4])
        store.add(["a question about heat"], ids=["mute"], payloads=[{"text": 7, "kind": "x"}])
    with open_store(made, collection="dense", vectorizer=vectorizer, mode="dense") as store:
        store.add(TEXTS[:2], ids=["ship", "bread"])
    return made


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["vectorplug", "explain", *arguments, "--store", url])
        # The consoles hold the streams and the width that they found when they were made.
        for console in (vectorplug.cli.console.results, vectorplug.cli.console.notes):
            monkeypatch.setattr(console, "_width", 80)
        with pytest.raises(SystemExit) as ended:
            vectorplug.cli.main()
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    return run_


def test_in_a_pipe(run: Run) -> None:
    code, out, err = run(QUESTION, "ship")
    assert code == 0, err
    assert "\x1b" not in out
    assert out.startswith("ship  Sea & [ship]\n")
    assert re.search(r"exact MaxSim: \d+\.\d{4}, number \d of the store's 6 candidates", out)
    assert re.search(r"FDE: -?\d+\.\d{4}, number \d of the store's 6 candidates", out)
    text = re.sub(r"\[[\d,]+\]", "", out.split("\n\n")[1])
    assert " ".join(text.split()) == TEXTS[0]
    numbers = {int(n) for found in re.findall(r"\[([\d,]+)\]", out.split("\n\n")[1]) for n in found.split(",")}
    rows = re.findall(r"^ *(\d+)  (wind|on|the|sea) ", out, re.MULTILINE)
    assert [word for _, word in rows] == QUESTION.split()
    assert numbers == {int(number) for number, _ in rows}
    assert re.search(r"\(\d+ markers\)", out)
    assert "It lost most at `" in " ".join(out.split())
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "the document's text was encoded again" in err.replace("\n", " ")


def test_a_long_document_is_shown_around_its_matches(run: Run) -> None:
    out = run("the wave of the sea", "long")[1]
    shown = out.split("\n\n")[1]
    assert "…" in shown
    assert len(shown) < len(TEXTS[4]) / 2
    assert re.search(r"\[[\d,]+\]", shown)


def test_json_adds_up(run: Run) -> None:
    code, out, _ = run(QUESTION, "3", "--json")  # a number on the command line finds the id that is one
    assert code == 0
    found = json.loads(out)
    assert found["id"] == 3
    assert sum(row["score"] for row in found["tokens"]) == pytest.approx(found["maxsim"]["score"], abs=1e-4)
    parts = sum(sum(row["fde"]["contributions"]) for row in found["tokens"])
    assert parts == pytest.approx(found["fde"]["score"], abs=1e-3)
    assert found["fde"]["share"] == pytest.approx(parts / (20 * found["maxsim"]["score"]), abs=1e-4)
    assert found["why"].startswith("By FDE it is number")
    spans = {(row["token"]["start"], row["token"]["end"]) for row in found["tokens"]}
    assert {(0, 4), (5, 7), (8, 11), (12, 15), (-1, -1)} <= spans


def test_the_page_in_a_browser(run: Run, tmp_path: Path) -> None:
    code, _, err = run(QUESTION, "ship", "--html", str(tmp_path / "heat.html"))
    assert code == 0
    assert "written:" in err
    text = (tmp_path / "heat.html").read_text("utf-8")
    assert "&lt;" in text
    assert "<script" not in text
    assert (
        re.sub(r"<[^>]+>", "", text.split('<p class="text">')[1].split("</p>")[0])
        == "A ship on the sea with wind &amp; salt &lt;b&gt;."
    )
    seen = look(tmp_path / "heat.html", tmp_path)
    assert seen.console == []
    for frame in seen.frames:
        assert frame["requests"] == []
        assert frame["scrolled"] <= frame["width"]
        assert frame["text"] > 200
    failed, _, err = run(QUESTION, "ship", "--html", str(tmp_path / "nowhere" / "heat.html"))
    assert failed == 1
    assert "cannot be written" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((QUESTION, "shi"), "document 'shi' is not in collection 'docs', which holds 6"),
        ((QUESTION, "mute"), "document 'mute' has no text in its payload field 'text' (it has text, kind)"),
        (("  ", "ship"), "the question is empty"),
        ((QUESTION, "ship", "--collection", "none"), "collection 'none' does not exist yet"),
    ],
)
def test_what_cannot_be_explained(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert said in " ".join(err.split())
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_collection_without_fdes_still_shows_its_matches(run: Run) -> None:
    code, out, err = run(QUESTION, "ship", "--collection", "dense")
    assert code == 0
    assert "FDE saw" not in out
    assert "stores no FDE" in err.replace("\n", " ")
    assert re.search(r"^ *\d+  sea +\S+ +0\.\d{3}", out, re.MULTILINE)
