"""MiniLM over real texts of 20 to 250 tokens, beside those who run the same weights."""

import json
from pathlib import Path
from statistics import median

import torch

from benchmarks.page.data import MODEL, texts_of_all_lengths
from benchmarks.page.part import Part, Table
from benchmarks.page.turns import Bench, Entry, take_turns
from vectorplug.models.catalog import resolve
from vectorplug.models.encoder import choose_dtype

__all__ = ["measure"]

TEXTS = 128
LENGTH = 256
ROUNDS = {"encode": 5, "query": 31}
SAID = (
    "Words of the standard library's documentation, in batches of 32 where a peer takes a size. Ours gives tokens and "
    "dense vectors of one pass; the others what is named. onnxruntime runs the transformer exported by torch, texts "
    "sorted by length; PyLate projects to 128 numbers by random ones, which is as much work as a trained projection."
)
TITLES = {"float32": "MiniLM in float32", "bfloat16": "MiniLM in bfloat16"}


def measure(bench: Bench, room: Path) -> Part:
    """Tokens and dense vectors of ours beside the one or the other of theirs."""
    (room / "texts.json").write_text(json.dumps(texts_of_all_lengths(TEXTS)), "utf-8")
    place = resolve(MODEL).place
    groups = {dtype: _entries(dtype, place) for dtype in _dtypes()}
    entries = [entry for group in groups.values() for entry in group]
    outcomes = take_turns(bench, entries, room, ROUNDS)
    facts = outcomes[0].facts
    texts = f"{TEXTS} texts of {facts['least']} to {facts['most']} tokens" if facts else f"{TEXTS} texts"
    of_dtype = {dtype: [each for each in outcomes if each.entry in group] for dtype, group in groups.items()}
    tables = [
        Table.of(f"encode-{dtype}", f"{TITLES[dtype]}, {texts}", TEXTS, "texts", there, "encode")
        for dtype, there in of_dtype.items()
    ]
    for dtype, there in of_dtype.items():
        asked = [each for each in there if each.entry.takes_part("query")]
        title = f"{TITLES[dtype]}, one question of 12 words"
        tables.append(Table.of(f"encode-query-{dtype}", title, 1, "questions", asked, "query"))
    fast = next(each for each in outcomes if each.entry is list(groups.values())[-1][0])
    costs = {}
    if not fast.missing:
        costs["document"] = 1000 * median(fast.seconds["encode"]) / TEXTS
        costs["query"] = 1000 * median(fast.seconds["query"])
        costs["tokens"] = fast.facts["mean"]
    return Part.of("encode", bench, outcomes, tables=tables, costs=costs, said=SAID)


def _dtypes() -> list[str]:
    """Those that this CPU multiplies."""
    fast = choose_dtype("auto", torch.device("cpu")) == torch.bfloat16
    return ["float32", "bfloat16"] if fast else ["float32"]


def _entries(dtype: str, place: str) -> list[Entry]:
    both = ("tokens", "dense")
    mine = {"model": MODEL, "dtype": dtype, "outputs": both}
    theirs = {"place": place, "dtype": dtype}
    transformers, dense = "encode:sentence_transformers", f"sentence-transformers {dtype}, dense"
    entries = [
        Entry(f"vectorplug {dtype}, tokens and dense", "encode:vectorplug", options=mine),
        Entry(dense, transformers, "sentence-transformers", {**theirs, "output": "dense"}),
        Entry(dense.replace("dense", "tokens"), transformers, "sentence-transformers", {**theirs, "output": "tokens"}),
    ]
    if dtype == "bfloat16":
        folded = {**mine, "outputs": (*both, "fde")}
        name = f"vectorplug {dtype}, tokens, dense and FDE"
        entries.append(Entry(name, "encode:vectorplug", options=folded, works=["encode"]))
        return entries
    whole = {"place": place, "length": LENGTH}
    return [
        *entries,
        Entry("onnxruntime float32, tokens and dense", "encode:onnxruntime", "onnxruntime", whole),
        Entry("PyLate float32, tokens of 128 numbers", "encode:pylate", "pylate", whole),
    ]
