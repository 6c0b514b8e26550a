"""Many callers of single texts beside one call with all of them: `python -m benchmarks.batching`."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import torch

from benchmarks.page.data import MODEL, texts_of_all_lengths
from benchmarks.rounds import console, in_turns, print_ratios
from vectorplug import Vectorizer
from vectorplug.encoded import Output
from vectorplug.models.encoder import Encoder, choose_dtype
from vectorplug.residency.batcher import Batcher
from vectorplug.residency.trace import Span

CALLERS = 64
LONG_TEXTS = 30


def call(batcher: Batcher, pool: ThreadPoolExecutor, texts: Sequence[str], outputs: Sequence[Output]) -> None:
    """Every text in a request of its own; each caller asks for its next when it has the last."""
    for encoded in pool.map(lambda text: batcher.encode(text, "document", outputs), texts):
        assert len(encoded) == 1


def busy_shares(spans: Sequence[Span]) -> str:
    """Of the time from the first forward pass to the last, how much each stage worked."""
    forwards = [span for span in spans if span.stage == "forward"]
    first, last = min(span.started for span in forwards), max(span.ended for span in forwards)
    shares = []
    for stage in ("tokenize", "forward", "finish"):
        work = [min(span.ended, last) - max(span.started, first) for span in spans if span.stage == stage]
        shares.append(f"{stage} {sum(max(seconds, 0) for seconds in work) / (last - first):.0%}")
    return f"{', '.join(shares)}; {len(forwards)} batches of {np.mean([span.tokens for span in forwards]):,.0f} tokens"


def bench_callers(dtype: str, outputs: tuple[Output, ...]) -> None:
    """The same texts, the same outputs, the same model on the same threads."""
    texts = texts_of_all_lengths() * 2
    vectorizer = Vectorizer(MODEL, device="cpu", dtype=dtype)
    encoder = Encoder(MODEL, device="cpu", dtype=dtype)
    spans: list[Span] = []
    # The one call, too, runs beside the main thread: there OpenMP's threads spin, which on a machine that others use
    # costs several times what they compute.
    with ThreadPoolExecutor(CALLERS) as pool, ThreadPoolExecutor(1) as aside:

        def batched() -> None:
            # A batcher a round, so that its trace is this round's.
            with Batcher(lambda: nullcontext(encoder), fde=vectorizer.fde) as batcher:
                call(batcher, pool, texts, outputs)
                spans[:] = batcher.trace()

        seconds = in_turns(
            {
                f"batcher, {CALLERS} callers of one text": batched,
                "one encode_document call": lambda: aside.submit(
                    vectorizer.encode_document, texts, outputs=outputs
                ).result(),
            },
            3,
        )
    title = f"MiniLM {dtype}, {len(texts)} texts, {' + '.join(outputs)}, {torch.get_num_threads()} threads"
    print_ratios(title, seconds, len(texts), "texts")
    ours, theirs = seconds.values()
    console.print(f"{theirs / ours:.2f} of the throughput of one call. Busy: {busy_shares(spans)}.", "")


def bench_long_text() -> None:
    """A text of twice a batch's tokens, as 8,000 are to 4,096, while the others never let the queue run dry."""
    words = texts_of_all_lengths()[0].split()
    short = [" ".join(words[n % 7 : n % 7 + 5]) for n in range(CALLERS - 1)]
    long = " ".join(words * 40)
    encoder = Encoder(MODEL, device="cpu")
    tokens = len(encoder.tokenize([long], "document")[0])
    stop = threading.Event()
    with (
        Batcher(lambda: nullcontext(encoder), batch_tokens=tokens // 2) as batcher,
        ThreadPoolExecutor(CALLERS) as pool,
    ):

        def stream(text: str) -> None:
            while not stop.is_set():
                batcher.encode(text, "document", ["dense"])

        for text in short:
            pool.submit(stream, text)
        while batcher.stats().batches < 10:
            batcher.encode(short[0], "document", ["dense"])
        waits, bounds = [], []
        for _ in range(LONG_TEXTS):
            before = batcher.stats()
            batcher.encode(long, "document", ["dense"])
            waits.append(batcher.stats().batches - before.batches)
            bounds.append(4 * before.queue_tokens / (tokens // 2) + 3)
        stop.set()
    console.print(
        f"A text of {tokens} tokens in batches of {tokens // 2} under {len(short)} callers of short texts, "
        f"{LONG_TEXTS} times: done after {np.median(waits):.0f} batches, {max(waits)} at most; "
        f"promised: {max(bounds):.0f} and what was in the pipeline."
    )


def main() -> None:
    """Every kind of output that a caller may want, then the order."""
    fast = "bfloat16" if choose_dtype("auto", torch.device("cpu")) == torch.bfloat16 else "float32"
    for outputs in (("dense",), ("tokens", "fde", "dense")):
        bench_callers(fast, outputs)
    bench_long_text()
    console.print("Not run on a GPU." if not torch.cuda.is_available() else "CPU only, though a GPU is here.")


if __name__ == "__main__":
    main()
