import sys
from pathlib import Path

import pytest

import vectorplug
from vectorplug.errors import ConfigurationError
from vectorplug.search import open_store
from vectorplug.search.brute import BruteStore


def test_memory() -> None:
    store = open_store("memory:", collection="c", mode="native", outputs=("tokens", "fde"))
    assert isinstance(store, BruteStore)
    assert (store.collection, store.mode) == ("c", "native")


def test_edge(tmp_path: Path) -> None:
    from vectorplug_qdrant import QdrantStore

    with vectorplug.open_store(f"edge:{tmp_path}/index", collection="c") as store:
        assert isinstance(store, QdrantStore)
        assert (store.collection, store.mode) == ("c", "fde+rerank")


@pytest.mark.parametrize("url", ["./index", "", "postgres://x", "ftp+http://x:1", "memory"])
def test_an_unknown_scheme_lists_the_known(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"edge:\.\.\., memory:\.\.\., qdrant:\.\.\."):
        open_store(url)


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("vectorplug_qdrant")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "qdrant_edge", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'vectorplug\[qdrant\]'"):
        open_store("edge:./index")


@pytest.mark.parametrize(
    ("options", "said"),
    [({"mode": "best"}, "mode 'best' is not one of"), ({"outputs": ("colour",)}, "output 'colour' is not one of")],
)
def test_wrong_options(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        open_store("memory:", **options)  # type: ignore[arg-type]


def test_memory_has_no_place() -> None:
    with pytest.raises(ConfigurationError, match="expected 'memory:'"):
        open_store("memory:./index")
