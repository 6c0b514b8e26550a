"""Twenty threads, ten models, room for three, and a device that fails now and then."""

import faulthandler
import gc
import random
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import checkpoints
import numpy as np
import pytest
from residency.fakes import FakeLoader, FakeMemory, words

from vectorplug.errors import ModelError, ModelLoadError, OutOfMemoryError
from vectorplug.models.encoder import Encoder
from vectorplug.residency.cache import ModelCache
from vectorplug.residency.events import Event
from vectorplug.residency.loader import EncoderLoader
from vectorplug.residency.memory import CpuMemory

THREADS = 20
LEASES = 2_000


@pytest.fixture
def _no_deadlock() -> Iterator[None]:
    """A stand-still ends the run with every thread's stack, instead of never."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.usefixtures("_no_deadlock")
@pytest.mark.parametrize("host_budget", [0, 1500])
def test_two_thousand_random_leases(host_budget: int) -> None:
    sizes = {f"model-{i}": 200 + 20 * i for i in range(10)}
    # The three largest fit, with the activations of each: a byte a token, 100 tokens a batch.
    budget = 1400
    memory = FakeMemory(budget + host_budget + 100)
    loader = FakeLoader(memory, sizes, per_token=1)
    random_ = random.Random(7)
    failing = Counter(dict.fromkeys(list(sizes)[:4], 2))
    moments: list[tuple[int, int]] = []

    def disk() -> None:
        # Two loads each of some models fail for good reasons.
        for name in loader.loaded[-1:]:
            if failing[name] > 0 and random_.random() < 0.5:
                failing[name] -= 1
                raise ModelLoadError(f"{name} is damaged")

    loader.hooks = dict.fromkeys(sizes, disk)
    # One allocation in fifty is refused, weights and activations alike.
    memory.refuses = lambda asked, _held: asked > 0 and random_.random() < 0.02

    def sample(_: Event) -> None:
        stats = cache.stats()
        moments.append((stats.used_bytes, stats.host_bytes))

    ticks = iter(range(10**9))
    cache = ModelCache(
        budget=budget,
        host_budget=host_budget,
        loader=loader,
        memory=memory,
        on_event=sample,
        clock=lambda: next(ticks) / 10,  # cool-downs pass
    )
    outcomes: Counter[str] = Counter()
    counting = threading.Lock()

    def work(seed: int) -> None:
        own = random.Random(seed)
        for step in range(LEASES // THREADS):
            name = own.choice(list(sizes))
            text = words(" ".join("x" * own.randint(1, 9) for _ in range(own.randint(1, 6))))
            try:
                with cache.lease(name, timeout=30) as model:
                    assert model.name == name
                    piece = model.forward([text, words(f"{'y' * (seed + 1)} {'z' * (step + 1)}")])
                assert piece.tokens[-2:].tolist() == [[seed + 1, len(name)], [step + 1, len(name)]]
                assert piece.tokens[: len(text), 0].tolist() == text.ids.tolist()
                outcome = "done"
            except ModelError as error:
                outcome = type(error).__name__
            with counting:
                outcomes[outcome] += 1

    with ThreadPoolExecutor(THREADS) as pool:
        for future in [pool.submit(work, seed) for seed in range(THREADS)]:
            future.result()

    stats = cache.stats()
    assert outcomes.total() == LEASES
    assert outcomes["done"] > 0.8 * LEASES
    assert set(outcomes) <= {"done", ModelLoadError.__name__, OutOfMemoryError.__name__}
    assert max(used for used, _ in moments) <= budget
    assert max(host for _, host in moments) <= host_budget
    # Not by its own books alone: the device itself never held more, but for the short first pass after a load.
    assert memory.high_water <= budget + 3 * 20
    assert stats.leased == ()
    assert stats.used_bytes == sum(sizes[name] for name in stats.resident) == memory.held
    assert stats.evictions > 10
    assert (stats.swaps > 10) == (host_budget > 0)

    kept = [weakref.ref(model) for model in loader.models.values()]
    cache.close()
    assert (memory.held, cache.stats().used_bytes, cache.stats().host_bytes) == (0, 0, 0)
    loader.models.clear()
    gc.collect()
    assert [one() for one in kept] == [None] * len(kept)


@pytest.mark.usefixtures("_no_deadlock")
def test_real_encoders_give_the_same_bits_whatever_moves_around_them(tmp_path: Path) -> None:
    folders = [
        str(checkpoints.write_tiny_dense(tmp_path / f"{family}-{seed}", seed=seed, family=family))
        for seed, family in enumerate(["bert", "distilbert", "modernbert", "electra", "bert"])
    ]
    texts = ["the sea", "bread and flour", "a ship on the sea with wind and salt"]
    expected, largest = {}, 0
    for folder in folders:
        encoder = Encoder(folder, device="cpu", dtype="float32")
        expected[folder] = encoder.forward(encoder.tokenize(texts, "document"))
        largest = max(encoder.weight_bytes, largest)
    loader = EncoderLoader(device="cpu", dtype="float32")
    used: list[int] = []
    # Room for two of them with the activations of one batch each.
    budget = 2 * largest + 12_000_000
    cache = ModelCache(
        budget=budget, host_budget=3 * largest, loader=loader, on_event=lambda _: used.append(cache.stats().used_bytes)
    )

    def work(seed: int) -> None:
        own = random.Random(seed)
        for _ in range(8):
            folder = own.choice(folders)
            with cache.lease(folder) as model:
                piece = model.forward(model.tokenize(texts, "document"))
            assert np.array_equal(piece.tokens, expected[folder].tokens)
            assert np.array_equal(piece.dense, expected[folder].dense)

    for folder in folders:
        cache.preload(folder)
    before = CpuMemory().read().allocated
    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, seed) for seed in range(8)]:
            future.result()
    after = CpuMemory().read().allocated
    stats = cache.stats()
    assert max(used) <= budget
    assert stats.swaps > 0
    # What is left of 64 passes and all those moves: nothing that grows.
    assert abs(after - before) < 0.05 * before
    cache.close()
    assert (cache.stats().used_bytes, cache.stats().host_bytes) == (0, 0)
