"""A config as a file: read as it was written, obeyed by the store, and refused in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from vectorplug import Lemur, Muvera, Vectorizer, open_store
from vectorplug.cli.app import app
from vectorplug.codes import FdeCodes
from vectorplug.encoded import Encoded
from vectorplug.errors import ConfigurationError, FingerprintError
from vectorplug.models.recipe import Recipe
from vectorplug.multivectors import MultiVectors
from vectorplug.search import IndexConfig
from vectorplug.search.config import LemurConfig, MuveraConfig, StoreConfig, TokensConfig
from vectorplug.search.modes import MODES

TEXTS = ["the sea is salt and the ship is on the wave", "bread of flour and yeast", "a wing with lift and drag"]
TUNED = """
candidates = 7
mode = "fde+rerank"

[fde]
repetitions = 3
ksim = 2
dproj = 4
unit_norm = true

[tokens]
document_length = 9
pool_factor = 2
dtype = "float16"

[store]
fde_dtype = "float16"
"""


@pytest.fixture
def tuned(tmp_path: Path, tiny_colbert: Path) -> Path:
    file = tmp_path / "tuned.toml"
    file.write_text(f"model = {json.dumps(str(tiny_colbert))}\n{TUNED}")
    return file


def test_the_page_shows_every_key(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "config.md").read_text("utf-8")
    kinds = set()
    for block in page.split("```toml\n")[1:]:
        (tmp_path / "shown.toml").write_text(block.split("```")[0])
        shown = IndexConfig.read(tmp_path / "shown.toml")
        assert all(value is not None for _, value in shown.fde)
        kinds.add(shown.fde.kind)
        if shown.fde.kind == "muvera":
            assert all(value is not None for table in (shown, shown.tokens, shown.store) for _, value in table)
    assert kinds == {"muvera", "lemur"}


number = st.none() | st.integers(4, 2**40)
muveras = st.builds(
    MuveraConfig,
    dialect=st.sampled_from(["fastembed", "google", "weaviate"]),
    repetitions=st.integers(1, 99),
    ksim=st.integers(0, 10),
    dproj=number | st.just("identity"),
    seed=st.none() | st.integers(0, 2**31 - 1),
    fill=st.booleans(),
    unit_norm=st.booleans(),
    final_dim=number,
)
lemurs = st.builds(
    LemurConfig,
    size=st.integers(1, 2**40),
    features=number,
    samples=st.integers(1, 2**40),
    seed=st.integers(0, 2**31 - 1),
)
configs = st.builds(
    IndexConfig,
    model=st.none() | st.text(),
    mode=st.sampled_from(MODES),
    candidates=number,
    fde=muveras | lemurs,
    tokens=st.builds(
        TokensConfig,
        pool_factor=st.none() | st.floats(1, 1e300),
        document_length=number,
        query_length=number,
        dimensions=number,
        dtype=st.sampled_from(["float32", "float16", "int8"]),
    ),
    store=st.builds(StoreConfig, fde_dtype=st.sampled_from(["float32", "float16", "int8", "bit"])),
)


@settings(deadline=None)
@given(configs)
def test_it_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, config: IndexConfig) -> None:
    file = tmp_path_factory.getbasetemp() / "round.toml"
    config.write(file)
    assert IndexConfig.read(file) == config
    assert IndexConfig.of(json.loads(config.model_dump_json())) == config
    assert IndexConfig.of(config.model_dump(exclude_none=True)) == config


def test_nothing_said_is_what_a_store_does_by_itself(tiny_colbert: Path) -> None:
    config = IndexConfig.of({})
    assert (config.mode, config.candidates, config.store.fde_dtype) == ("fde+rerank", None, "float32")
    plain = Vectorizer(str(tiny_colbert))
    assert config.compressor(16) == plain.fde
    assert config.vectorizer(str(tiny_colbert)).fingerprint == plain.fingerprint
    assert config.compressor(128) == Muvera(dim=128, fill=False)


@pytest.mark.parametrize(
    "muvera",
    [
        Muvera(dim=32),
        Muvera(dim=32, dproj=None, seed=7, fill=False, unit_norm=True),
        Muvera.preset("weaviate", dim=32, final_dim=100),
        Muvera.preset("google", dim=32),
    ],
)
def test_a_muvera_and_back(muvera: Muvera) -> None:
    assert MuveraConfig.of(muvera).compressor(32) == muvera
    assert IndexConfig(fde=MuveraConfig.of(muvera)).compressor(32) == muvera


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('mode = "best"', "mode is 'best', expected 'native', 'fde', 'fde+rerank', 'dense'"),
        ('modle = "x"', "modle is no key; expected one of model, mode, candidates, fde, tokens, store."),
        ("candidates = true", "candidates is True, expected a valid integer."),
        ("fde = 3", "fde is 3, expected a table."),
        ("[fde]\nksim = 11", "fde.ksim is 11, expected less than or equal to 10."),
        ('[fde]\nfill = "yes"', "fde.fill is 'yes', expected a valid boolean."),
        ('[fde]\ndproj = "x"', "fde.dproj is 'x', expected a valid integer or 'identity'."),
        ('[fde]\nkind = "lemur"\nsize = 0', "fde.size is 0, expected greater than 0."),
        ('[fde]\nkind = "lemur"\nksim = 5', "fde.ksim is no key; expected one of kind, size, features, samples, seed."),
        ('[fde]\nkind = "plaid"', "fde.kind is 'plaid', expected 'muvera' or 'lemur'."),
        ('[tokens]\ndtype = "int4"', "tokens.dtype is 'int4', expected 'float32', 'float16' or 'int8'."),
        ("[tokens]\nlen = 3", "tokens.len is no key; expected one of pool_factor, document_length, query_length"),
        ("[store]\nfde_dtype = 1", "store.fde_dtype is 1, expected 'float32', 'float16', 'int8' or 'bit'."),
        ("x = ", "is no TOML: Invalid value"),
    ],
)
def test_a_wrong_value_is_named_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "tuned.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        IndexConfig.read(file)
    message = str(caught.value)
    assert message.startswith(str(file))
    assert said in message
    assert "\n" not in message


def test_a_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml cannot be read: No such file"):
        IndexConfig.read(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'model = "\xe9"')
    with pytest.raises(ConfigurationError, match=r"latin\.toml is no TOML"):
        IndexConfig.read(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[fde]\ndproj = 99", "dproj is 99, expected an integer of 1 to 16"),
        ('[fde]\ndialect = "weaviate"\nseed = 7', "seed is 7: Weaviate's matrices are fixed"),
        ("[tokens]\ndocument_length = 99", "document_length is 99, expected at most 64"),
    ],
)
def test_what_the_model_cannot_obey_names_file_and_model(
    tmp_path: Path, tiny_colbert: Path, text: str, said: str
) -> None:
    (tmp_path / "tuned.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=rf"tuned\.toml, with model \S+: {said}"):
        IndexConfig.read(tmp_path / "tuned.toml").vectorizer(str(tiny_colbert))


def test_indexed_reopened_and_searched_without_the_file(tmp_path: Path, tuned: Path, tiny_colbert: Path) -> None:
    url, config = f"edge:{tmp_path / 'index'}", IndexConfig.read(tuned)
    with open_store(url, config=config) as store:
        assert store.add(TEXTS, ids=[1, 2, 3]).added == 3
        made, before = store.vectorizer, store.search("the salt sea", limit=3)
        assert isinstance(made, Vectorizer)
        assert made.recipe == Recipe(document_length=9, pool_factor=2)
        assert made.fde == Muvera(dim=16, repetitions=3, ksim=2, dproj=4, fill=False, unit_norm=True)
    with open_store(url) as store:
        assert store.info is not None
        assert store.vectorizer.fingerprint == made.fingerprint
        assert store.vectorizer.fde == made.fde
        assert (store.info.candidates, store.info.dtypes.tokens, store.info.dtypes.fde) == (7, "float16", "float16")
        assert store.search("the salt sea", limit=3) == before
        assert store.add(TEXTS, ids=[1, 2, 3]).skipped == 3
    for other in ({"document_length": 8, "pool_factor": 2}, {}):
        with pytest.raises(FingerprintError) as caught:
            open_store(url, vectorizer=Vectorizer(str(tiny_colbert), fde=made.fde, **other))
        assert made.fingerprint in str(caught.value)
        assert made.fingerprint.replace(":doc9:pool2", Recipe(**other).fingerprint) in str(caught.value)
    with open_store(url, config=config) as store:
        assert store.count() == 3
    changed = config.model_copy(update={"store": StoreConfig(fde_dtype="bit")})
    with pytest.raises(ConfigurationError, match="keeps its fde in float16, the config asks for bit"):
        open_store(url, config=changed)
    with pytest.raises(FingerprintError):
        open_store(url, config=config.model_copy(update={"tokens": TokensConfig(dtype="float16")}))


def test_the_stored_candidates_are_the_default(tuned: Path) -> None:
    config = IndexConfig.read(tuned)
    with open_store("memory:", config=config) as store:
        store.add([f"{TEXTS[i % 3]} {i}" for i in range(30)], ids=range(30))

        def ranked(**asked: Any) -> list[int]:
            return [len(stage.candidates) for stage in store.search("salt", explain=True, **asked).stages[1:]]

        assert ranked(limit=3) == [7, 3]
        assert ranked(limit=3, candidates=5) == [5, 3]
        assert ranked(limit=20) == [20, 20]  # never fewer than are asked for


@pytest.mark.parametrize("fde_dtype", ["float32", "float16", "int8", "bit"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_the_plain_store_scores_what_is_kept(dtype: Any, fde_dtype: Any) -> None:
    rng = np.random.default_rng(0)
    muvera = Muvera(dim=8, repetitions=3, ksim=2, dproj=4)
    tokens = MultiVectors.from_list([rng.standard_normal((n, 8), np.float32) for n in (3, 9, 5, 1)])
    documents, query = Encoded(tokens, muvera.encode_documents(tokens)), tokens[1:2]
    config = IndexConfig(tokens=TokensConfig(dtype=dtype), store=StoreConfig(fde_dtype=fde_dtype))
    with open_store("memory:", config=config) as store:  # no model is loaded: the vectors are there
        store.add_encoded(documents, ids=[0, 1, 2, 3])
        asked = Encoded(query, muvera.encode_queries(query))
        found = {mode: {hit.id: hit.score for hit in store.search_encoded(asked, mode=mode)} for mode in MODES[:2]}
    fdes = documents.fde
    assert fdes is not None
    if fde_dtype == "float16":
        fdes = fdes.astype(np.float16)
    elif fde_dtype != "float32":
        fdes = FdeCodes.of(fdes, fde_dtype).decode()
    expected = fdes.astype(np.float32) @ muvera.encode_queries(query)[0]
    np.testing.assert_allclose([found["fde"][i] for i in range(4)], expected, rtol=1e-5)
    kept = tokens.astype(dtype).astype("float32")
    exact = [float((query[0] @ document.T).max(axis=1).sum()) for document in kept]
    np.testing.assert_allclose([found["native"][i] for i in range(4)], exact, rtol=1e-4)


def test_from_a_shell(tmp_path: Path, tuned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"_id": str(i), "text": text}) for i, text in enumerate(TEXTS)]
    Path("corpus.jsonl").write_text("\n".join(rows))
    run = CliRunner()
    index = ["index", "corpus.jsonl", "--store", "edge:./index", "--json"]
    first = run.invoke(app, [*index, "--config", tuned.name], catch_exceptions=False)
    assert json.loads(first.stdout)["added"] == 3
    for again in (index, [*index, "--config", tuned.name]):
        assert json.loads(run.invoke(app, again, catch_exceptions=False).stdout)["unchanged"] == 3
    hits = json.loads(run.invoke(app, ["search", "the salt sea", "--store", "edge:./index", "--json"]).stdout)
    assert len(hits) == 3
    with open_store("edge:./index") as store:
        assert store.info is not None
        assert (store.info.candidates, store.info.recipe) == (7, Recipe(document_length=9, pool_factor=2))
    dense = [*index, "--config", tuned.name, "--collection", "dense", "--mode", "dense"]
    assert run.invoke(app, dense, catch_exceptions=False).exit_code == 0
    with open_store("edge:./index", collection="dense") as store:
        assert store.mode == "dense"
    assert run.invoke(app, [*index, "--config", "none.toml"]).exit_code == 2
    tuned.write_text("mode = 3")
    with pytest.raises(ConfigurationError, match=r"tuned\.toml: mode is 3, expected"):
        run.invoke(app, [*index, "--config", tuned.name], catch_exceptions=False)


def test_a_family_goes_before_the_file_s(tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text("candidates = 7\n[fde]\nkind = 'lemur'\nsize = 64\n")
    said = IndexConfig.read(file)
    assert said.of_family("lemur") is said
    assert said.of_family(None) is said
    changed = said.of_family("muvera")
    assert (changed.fde, changed.candidates) == (MuveraConfig(), 7)
    assert changed.of_family("lemur").fde == LemurConfig()
    with pytest.raises(ConfigurationError, match=r"small\.toml: fde\.kind is 'plaid', expected 'muvera' or 'lemur'"):
        said.of_family("plaid")


def test_a_lemur_is_made_for_the_tokens(tiny_colbert: Path) -> None:
    config = IndexConfig.of({"model": str(tiny_colbert), "fde": {"kind": "lemur", "size": 64}})
    assert config.vectorizer().fde == Lemur(dim=16, size=64)
    assert LemurConfig().compressor(128) == Lemur(dim=128)
    larger = IndexConfig.of({"model": str(tiny_colbert), "fde": {"kind": "lemur", "size": 64, "features": 32}})
    with pytest.raises(ConfigurationError, match="size is 64, expected at most the 32 features"):
        larger.vectorizer()
