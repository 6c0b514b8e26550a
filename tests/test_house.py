"""The house keeps its order: what imports what, what is public, how much an import costs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import vectorplug
from vectorplug import errors

ROOT = Path(__file__).resolve().parents[1]


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_imports_point_down() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    outcome = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout


def test_import_vectorplug_loads_neither_torch_nor_numba_nor_a_database_nor_a_framework() -> None:
    heavy = ["torch", "transformers", "sentence_transformers", "numba", "qdrant_edge", "qdrant_client", "weaviate"]
    heavy += ["langchain_core", "llama_index", "haystack", "mteb"]
    code = "import sys, json, vectorplug, vectorplug.search, vectorplug.muvera, vectorplug.cli.app;"
    assert json.loads(run(f"{code} print(json.dumps([m for m in {heavy} if m in sys.modules]))")) == []


def test_maxsim_stays_the_function_whatever_is_imported() -> None:
    code = "import vectorplug.search.brute, vectorplug.maxsim.cpu, vectorplug; print(callable(vectorplug.maxsim))"
    assert run(code).strip() == "True"


@pytest.mark.parametrize("module", [vectorplug, errors])
def test_public_names_are_sorted_and_there(module: object) -> None:
    names = module.__all__
    assert names == sorted(names)
    assert all(getattr(module, name) is not None for name in names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = vectorplug.nonsense


def test_every_error_is_a_vectorplug_error() -> None:
    assert all(issubclass(getattr(errors, name), errors.VectorplugError) for name in errors.__all__)


def test_the_changelog_knows_this_version() -> None:
    assert f"## {vectorplug.__version__}" in (ROOT / "CHANGELOG.md").read_text()
