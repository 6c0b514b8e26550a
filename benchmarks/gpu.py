"""The kernels of a GPU beside its own limits: `python -m benchmarks.gpu`. Exit code 1 where there is no CUDA device.

Needs torch, triton, transformers and NumPy, random weights and random tokens: no network and no checkpoint.
"""

import itertools
import statistics
import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, ModernBertConfig, ModernBertModel, PreTrainedModel

from vectorplug.maxsim.torch import maxsim, plain_maxsim
from vectorplug.models.attention import NAME, Pack, ragged_attention
from vectorplug.muvera import Muvera
from vectorplug.muvera.torch import code_values, encode_documents

DIM, TOKENS_A_DOCUMENT = 128, 180
BATCH_DOCUMENTS = 182  # some 32,768 tokens, a batch of the encoder on a GPU
ROUNDS = 30
# The rerank reads one of so many stores in turn, so that none is found in the cache.
STORES = 12


def one_by_one(call: Callable[[], object]) -> float:
    """Median seconds of a call from its launch to its end, each begun when the one before has ended."""
    taken = []
    for turn in range(ROUNDS + 3):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        if turn >= 3:  # the first ones compile and choose
            taken.append(begin.elapsed_time(end) / 1000)
    return statistics.median(taken)


def row(what: str, seconds: float, limit: str, ratio: str) -> None:
    """One line of the table."""
    print(f"{what:<58}{seconds * 1e6:>12,.1f}  {limit:<34}{ratio:>10}", flush=True)


def limits() -> tuple[float, float]:
    """Bytes a second that a copy reads and writes, and bfloat16 operations a second of a large matrix product."""
    large = torch.empty(2**30, device="cuda", dtype=torch.uint8)
    other = torch.empty_like(large)
    seconds = one_by_one(lambda: other.copy_(large))
    bandwidth = 2 * large.nbytes / seconds
    row("copy of 1 GiB", seconds, f"{bandwidth / 1e12:.2f} TB/s", "")
    matrix = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    seconds = one_by_one(lambda: matrix @ matrix)
    peak = 2 * 8192**3 / seconds
    row("bfloat16 product of 8,192 x 8,192", seconds, f"{peak / 1e12:.0f} TFLOP/s", "")
    return bandwidth, peak


def unit_tokens(total: int) -> Tensor:
    """Float32 [total, DIM] of unit norm."""
    return torch.nn.functional.normalize(torch.randn(total, DIM, device="cuda"), dim=1)


def bench_rerank(bandwidth: float) -> None:
    """A query of 32 tokens against 1,000 documents of 160, by the ids of all in random order."""
    offsets = torch.arange(0, 1001 * 160, 160, device="cuda")
    candidates = torch.randperm(1000, device="cuda")
    query = unit_tokens(32)
    floats = unit_tokens(1000 * 160)
    for dtype in (torch.bfloat16, torch.float16, torch.int8):
        scales = floats.abs().amax(dim=1) / 127 if dtype == torch.int8 else None
        tokens = floats.to(dtype) if scales is None else (floats / scales[:, None]).round().to(dtype)
        stores = itertools.cycle([tokens.clone() for _ in range(STORES)])
        halves = torch.bfloat16 if dtype == torch.int8 else dtype
        for asked, kind in ((query, "float32"), (query.to(halves), "the tokens' dtype")):

            def rerank(
                asked: Tensor = asked, stores: Iterator[Tensor] = stores, scales: Tensor | None = scales
            ) -> Tensor:
                return maxsim(asked, next(stores), offsets, scales=scales, candidates=candidates)

            def launch(asked: Tensor = asked, tokens: Tensor = tokens, scales: Tensor | None = scales) -> Tensor:
                return maxsim(asked, tokens, offsets[:2], scales=scales, candidates=candidates[:1] * 0)

            seconds, floor = one_by_one(rerank), one_by_one(launch) + tokens.nbytes / bandwidth
            name = str(dtype).removeprefix("torch.")
            row(
                f"rerank 1,000 x 160 x 128 {name}, query {kind}",
                seconds,
                f"traffic + a launch: {floor * 1e6:.1f}",
                f"{seconds / floor:.2f} x",
            )
            expected = plain_maxsim(asked, tokens, offsets, None, scales, candidates)
            print(f"{'':4}largest difference to plain torch {(rerank() - expected[0]).abs().max():.2g}")


def architectures() -> dict[str, PreTrainedModel]:
    """Random bfloat16 weights of 33 million (12 x 384) and of 150 million parameters (ModernBERT-base)."""
    small = BertConfig(hidden_size=384, num_hidden_layers=12, num_attention_heads=12, intermediate_size=1536)
    made = {"33M": BertModel(small, add_pooling_layer=False), "150M": ModernBertModel(ModernBertConfig())}
    for model in made.values():
        model.set_attn_implementation(NAME)
        model.to("cuda", torch.bfloat16).eval()
    return made


def operations(model: PreTrainedModel, length: int) -> float:
    """Of a text: two for each weight and token, and the attention's products."""
    config = model.config
    weights = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and "embeddings" not in name)
    every = getattr(config, "global_attn_every_n_layers", 1)
    window = getattr(config, "local_attention", length) + 1
    wide = -(-config.num_hidden_layers // every)
    seen = wide * length + (config.num_hidden_layers - wide) * min(length, window)
    return float(length * (2 * weights + 4 * config.hidden_size * seen))


@torch.inference_mode()
def bench_encoding(peak: float) -> None:
    """A batch of 182 texts of 180 tokens through each model, and the FDE of its tokens."""
    muvera = Muvera(dim=DIM, fill=False)
    lengths = [TOKENS_A_DOCUMENT] * BATCH_DOCUMENTS
    total = sum(lengths)
    tokens, offsets = unit_tokens(total), torch.tensor([0, *np.cumsum(lengths)], device="cuda")
    ragged = ragged_attention(torch.device("cuda"), torch.bfloat16)
    positions = torch.arange(TOKENS_A_DOCUMENT, device="cuda").repeat(BATCH_DOCUMENTS)[None]
    fde = one_by_one(lambda: encode_documents(muvera, tokens, offsets))
    for name, model in architectures().items():
        ids = torch.randint(1000, model.config.vocab_size, (1, total), device="cuda")
        work = operations(model, TOKENS_A_DOCUMENT) * BATCH_DOCUMENTS
        ways = {"one attention for all": ragged, "attention by equal lengths": None}
        best = float("inf")
        for way, function in ways.items():

            def forward(model: PreTrainedModel = model, ids: Tensor = ids, function: object = function) -> Tensor:
                pack = Pack(lengths, lengths, function)
                return model(input_ids=ids, position_ids=positions, vectorplug_pack=pack, return_dict=True)[0]

            try:
                seconds = one_by_one(forward)
            except (TypeError, RuntimeError) as error:
                print(f"encoding {name}, {way}: not run ({str(error).splitlines()[0]})")
                continue
            best = min(best, seconds)
            share = work / seconds / peak
            limit = f"{work / seconds / 1e12:.0f} TFLOP/s, of the product's"
            row(f"encoding {name}, 182 x 180 tokens, {way}", seconds, limit, f"{share:.0%}")
        row(f"FDE of the batch, {muvera.size:,} numbers", fde, f"of encoding {name}", f"{fde / best:.1%}")
    fdes = encode_documents(muvera, tokens, offsets)
    for kind in ("int8", "bit"):
        seconds = one_by_one(lambda kind=kind: code_values(fdes, kind))
        row(f"codes of the batch, {kind}", seconds, "of its FDE", f"{seconds / fde:.0%}")
    few = Muvera(dim=DIM, fill=True)
    host = tokens.cpu()[: 4 * TOKENS_A_DOCUMENT], offsets.cpu()[:5]
    found = encode_documents(few, *(part.cuda() for part in host)).cpu()
    print(f"{'':4}largest difference to the CPU's FDE {(found - encode_documents(few, *host)).abs().max():.2g}")


def main() -> int:
    """Everything, or one line that says why not."""
    if not torch.cuda.is_available():
        print("no CUDA device: nothing was measured", file=sys.stderr)
        return 1
    torch.manual_seed(0)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, random weights and tokens")
    print(f"{'':<58}{'microseconds':>12}  {'beside':<34}{'ratio':>10}")
    bandwidth, peak = limits()
    bench_rerank(bandwidth)
    bench_encoding(peak)
    return 0


if __name__ == "__main__":
    sys.exit(main())
