"""What `ModelCache` promises, on models that weigh what a test says."""

import gc
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import torch
from residency.fakes import Clock, FakeLoader, FakeMemory, words

from vectorplug.errors import ConfigurationError, ModelError, ModelLoadError, ModelNotFoundError, OutOfMemoryError
from vectorplug.residency.cache import ModelCache
from vectorplug.residency.entry import Entry, State, choose_victims, worth
from vectorplug.residency.events import Event

SECONDS = 20  # the longest that any wait here may last; none takes that long


class Rig:
    """A cache on a device of 1,000 bytes, all of it budget; `a` to `e` weigh 100 to 500, `huge` 2,000."""

    def __init__(self, *, per_token: int = 0, **options: Any) -> None:
        self.memory = FakeMemory(1000)
        weights = {"a": 100, "b": 200, "c": 300, "d": 400, "e": 500, "huge": 2000}
        self.loader = FakeLoader(self.memory, weights, per_token=per_token)
        self.clock = Clock()
        self.events: list[Event] = []
        options = {"budget": 1000, "on_event": self.events.append, **options}
        self.cache = ModelCache(loader=self.loader, memory=self.memory, clock=self.clock, **options)

    def kinds(self, name: str) -> list[str]:
        return [event.kind for event in self.events if event.model == name]

    def use(self, *names: str) -> None:
        for name in names:
            with self.cache.lease(name) as model:
                model.forward([words("one two")])

    def state(self, name: str) -> str:
        return next((model.state for model in self.cache.stats().models if model.model == name), "unknown")


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.cache.close()
    assert made.memory.held == made.cache.stats().used_bytes == 0


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(24) as threads:
        yield threads


def eventually(condition: Callable[[], bool]) -> None:
    """Until another thread has come so far; a test that waits in vain fails."""
    limit = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < limit, "nothing happened"
        threading.Event().wait(0.001)


class Gate:
    """A load that has begun and does not end before it may."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        rig.loader.hooks[name] = self._wait

    def _wait(self) -> None:
        self.begun.set()
        assert self.may_end.wait(SECONDS)


def hold(rig: Rig, name: str, pool: ThreadPoolExecutor) -> tuple[threading.Event, "Future[None]"]:
    """Another thread's lease of `name`, which ends when the event is set."""
    has, end = threading.Event(), threading.Event()

    def work() -> None:
        with rig.cache.lease(name):
            has.set()
            assert end.wait(SECONDS)

    future = pool.submit(work)
    assert has.wait(SECONDS)
    return end, future


def test_a_model_is_loaded_once_and_shared(rig: Rig) -> None:
    with rig.cache.lease("a") as one, rig.cache.lease("some/folder/a") as two:
        assert one is two
        assert rig.cache.stats().leased == ("a",)
    assert rig.loader.loaded == ["a"]
    stats = rig.cache.stats()
    assert (stats.loads, stats.hits, stats.leased, stats.resident) == (1, 1, (), ("a",))


def test_first_requests_at_once_are_one_load(rig: Rig, pool: ThreadPoolExecutor) -> None:
    gate = Gate(rig, "a")
    together = threading.Barrier(20)

    def work() -> int:
        together.wait(SECONDS)
        with rig.cache.lease("a") as model:
            return id(model)

    found = [pool.submit(work) for _ in range(20)]
    assert gate.begun.wait(SECONDS)
    gate.may_end.set()
    assert len({future.result(SECONDS) for future in found}) == 1
    assert rig.loader.loaded == ["a"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ModelLoadError("a is gated"), ModelLoadError),
        (ModelNotFoundError("the hub has no a"), ModelNotFoundError),
        (KeyError("a"), ModelLoadError),
    ],
)
def test_a_failed_load_fails_every_waiter_with_its_class_and_cools_down(
    rig: Rig, pool: ThreadPoolExecutor, raised: Exception, expected: type[ModelError]
) -> None:
    gate = Gate(rig, "a")
    wait = rig.loader.hooks["a"]

    def fail() -> None:
        wait()
        raise raised

    rig.loader.hooks["a"] = fail
    found = [pool.submit(rig.use, "a") for _ in range(10)]
    assert gate.begun.wait(SECONDS)
    gate.may_end.set()
    errors = [future.exception(SECONDS) for future in found]
    assert [type(error) for error in errors] == [expected] * 10
    assert len({id(error) for error in errors}) == 10  # one each: a traceback belongs to one thread
    rig.clock.now += 10
    with pytest.raises(expected, match=r"not tried again for 20 s"):
        rig.use("a")
    assert rig.loader.loaded == ["a"]
    rig.clock.now += 21
    rig.loader.hooks.clear()
    rig.use("a")
    assert rig.kinds("a") == ["load failed", "loaded"]
    assert rig.cache.stats().failures == 1


def test_what_can_never_fit_is_refused_at_once_with_the_numbers(rig: Rig) -> None:
    rig.use("a")
    with pytest.raises(
        OutOfMemoryError, match=r"huge can never fit: it asks for 2,000 bytes.*budget of 1,000"
    ) as caught:
        rig.use("huge")
    assert "900 are free, held by a 100 (idle)" in str(caught.value)
    assert rig.loader.loaded == ["a"]  # nothing moved
    assert rig.state("a") == "resident"
    rig.cache.pin("e")
    rig.cache.pin("c")
    with pytest.raises(OutOfMemoryError, match=r"never fit.*e 500 \(pinned\)"):
        rig.use("d")
    rig.cache.unpin("c")
    rig.use("d")


def test_what_fits_once_a_lease_ends_waits_for_it(rig: Rig, pool: ThreadPoolExecutor) -> None:
    end, holder = hold(rig, "e", pool)
    waiter = pool.submit(rig.use, "d")
    assert waiter.result(SECONDS) is None  # both fit
    end_d, holder_d = hold(rig, "d", pool)
    waiter = pool.submit(rig.use, "c")
    eventually(lambda: rig.state("c") == "loading")
    assert not waiter.done()
    end_d.set()
    assert waiter.result(SECONDS) is None
    assert rig.cache.stats().resident == ("e", "c")
    end.set()
    holder.result(SECONDS)
    holder_d.result(SECONDS)


def test_waiting_has_an_end_and_says_who_holds(rig: Rig) -> None:
    with rig.cache.lease("e"), rig.cache.lease("e"), rig.cache.lease("d"):
        with (
            pytest.raises(OutOfMemoryError, match=r"found no room in time.*e 500 \(leased x2\), d 400 \(leased x1\)"),
            rig.cache.lease("c", timeout=0.01),
        ):
            pass
        assert rig.state("c") == "absent"
    rig.use("c")  # no cool-down: nothing was wrong with the model


def test_nobody_is_evicted_in_vain(rig: Rig) -> None:
    with rig.cache.lease("e"):
        rig.use("c")
        with pytest.raises(OutOfMemoryError), rig.cache.lease("huge", timeout=0.01):
            pass
        rig.loader.weights["more"] = 600
        with pytest.raises(OutOfMemoryError), rig.cache.lease("more", timeout=0.01):
            pass
        assert rig.cache.stats().resident == ("e", "c")


def test_leased_and_pinned_models_stay(rig: Rig) -> None:
    rig.cache.pin("b")
    with rig.cache.lease("a"):
        for name in "cdecde":
            rig.use(name)
        assert {"a", "b"} <= set(rig.cache.stats().resident)
        with pytest.raises(ModelError, match="leased 1 times"):
            rig.cache.evict("a")
    with pytest.raises(ModelError, match="and pinned"):
        rig.cache.evict("b")
    rig.cache.unpin("b")
    assert rig.cache.evict("b")
    assert not rig.cache.evict("b")
    assert not rig.cache.evict("e-that-nobody-asked-for")
    rig.cache.unpin("e-that-nobody-asked-for")


def entry(name: str, *, weights: int, load_seconds: float, last_used: float) -> Entry:
    made = Entry(name, State.RESIDENT, weights=weights, held=weights, last_used=last_used)
    made.load_seconds = load_seconds
    return made


def test_the_victim_is_what_costs_least_to_bring_back_for_its_bytes() -> None:
    slow = entry("slow", weights=100, load_seconds=10, last_used=0)
    fast = entry("fast", weights=100, load_seconds=1, last_used=50)
    large = entry("large", weights=1000, load_seconds=10, last_used=50)
    old = entry("old", weights=100, load_seconds=1, last_used=0)
    assert worth(slow, 100) == pytest.approx(10 / 101 / 100)
    order = sorted([slow, fast, large, old], key=lambda one: worth(one, 100))
    assert [one.name for one in order] == ["old", "fast", "large", "slow"]  # LRU would have sent slow before fast


def test_no_more_victims_than_needed() -> None:
    def frees(one: Entry) -> int:
        return one.held

    small = entry("small", weights=100, load_seconds=0.001, last_used=0)
    middle = entry("middle", weights=300, load_seconds=30, last_used=0)
    large = entry("large", weights=900, load_seconds=91, last_used=0)
    everyone = [large, small, middle]
    assert choose_victims(everyone, 50, 100, frees) == [small]
    assert choose_victims(everyone, 400, 100, frees) == [small, middle]
    assert choose_victims(everyone, 800, 100, frees) == [large]  # which makes the other two needless
    assert choose_victims(everyone, 1301, 100, frees) == []
    assert choose_victims(everyone, 1300, 100, frees) == [small, middle, large]


def test_activations_of_leased_models_are_part_of_what_is_in_use(pool: ThreadPoolExecutor) -> None:
    rig = Rig(per_token=4)  # x 100 tokens a batch
    with rig.cache.lease("a"), rig.cache.lease("a"):
        assert rig.cache.stats().used_bytes == 100 + 400  # once: passes of one model take turns
        waiter = pool.submit(rig.use, "b")
        # Its own activations would not fit beside those of the lease, though its weights do.
        eventually(lambda: rig.state("b") == "resident")
        assert not waiter.done()
    waiter.result(SECONDS)
    assert rig.cache.stats().used_bytes == 300  # no lease, no activations
    assert {model.activation_bytes_per_token for model in rig.cache.stats().models} == {4}
    rig.use("e")  # 500 and 400
    assert rig.cache.stats().used_bytes <= 1000
    rig.cache.close()
    assert rig.memory.high_water <= 1000


def test_activations_beyond_the_budget_are_the_ladder_s_to_cut() -> None:
    rig = Rig(per_token=20)  # 2,000 a batch
    rig.cache.pin("b")
    with rig.cache.lease("a") as model:
        assert rig.cache.stats().used_bytes == 1000
        piece = model.forward([words("one two three")] * 40)
    assert len(piece.lengths) == 40
    assert max(model.batches) * 20 <= 700 < 3 * 40 * 20
    rig.cache.close()


def test_a_model_that_was_measured_is_admitted_with_its_activations(pool: ThreadPoolExecutor) -> None:
    rig = Rig(per_token=4)
    rig.use("b")
    assert rig.cache.evict("b")
    with rig.cache.lease("a"):
        waiter = pool.submit(rig.use, "b")
        eventually(lambda: rig.state("b") == "loading")
        assert rig.loader.loaded.count("b") == 1  # it waits before anything moves
    waiter.result(SECONDS)
    rig.cache.close()


def test_a_model_of_unknown_size_is_measured_and_made_room_for(rig: Rig) -> None:
    rig.loader.unknown = {"d", "huge"}
    rig.memory.size = 5000
    rig.use("e", "c", "d")
    assert rig.cache.stats().used_bytes <= 1000
    assert rig.state("d") == "resident"
    with pytest.raises(OutOfMemoryError, match=r"never fit: it asks for 2,000"):
        rig.use("huge")
    assert rig.loader.models["huge"].weight_bytes == 0
    assert rig.memory.held == rig.cache.stats().used_bytes
    count = len(rig.loader.loaded)
    with pytest.raises(OutOfMemoryError):
        rig.use("huge")
    assert len(rig.loader.loaded) == count  # its size is known now


def test_what_other_processes_hold_is_not_ours_to_give(rig: Rig, pool: ThreadPoolExecutor) -> None:
    rig.memory.others = 700
    rig.use("a")
    with (
        pytest.raises(OutOfMemoryError, match=r"200 free, 700 held by other processes"),
        rig.cache.lease("d", timeout=0.01),
    ):
        pass
    waiter = pool.submit(rig.use, "d")
    eventually(lambda: rig.state("d") == "loading")
    rig.memory.others = 0  # nobody tells; it is looked at again
    waiter.result(SECONDS)


def test_blocks_that_torch_keeps_count_as_free(rig: Rig) -> None:
    rig.memory.cached = 950
    rig.use("e")


def test_a_load_that_runs_out_is_tried_once_more_without_the_idle(rig: Rig) -> None:
    rig.use("a", "b")
    rig.memory.refuses = lambda asked, held: asked == 300 and held > 0
    rig.use("c")
    assert rig.cache.stats().resident == ("c",)
    assert rig.kinds("c") == ["out of memory", "loaded"]
    assert rig.memory.released == 1


def test_a_load_that_runs_out_twice_is_an_error_that_pins_nothing(rig: Rig) -> None:
    held, kept_elsewhere = [], []

    def load() -> None:
        tensors = torch.zeros(10)
        held.append(weakref.ref(tensors))
        kept_elsewhere.append(torch.OutOfMemoryError("CUDA out of memory"))
        raise kept_elsewhere[-1]

    rig.loader.hooks["c"] = load
    with pytest.raises(OutOfMemoryError, match=r"CUDA out of memory.*it asks for 300 bytes") as caught:
        rig.use("c")
    assert len(held) == 2
    gc.collect()
    assert [one() for one in held] == [None, None]
    assert rig.cache.stats().used_bytes == 0
    assert str(caught.value)


def test_a_first_pass_that_fails_leaves_no_weights_behind(rig: Rig) -> None:
    rig.memory.refuses = lambda asked, _: asked == 0  # per_token is 0: the passes, not the weights
    with pytest.raises(OutOfMemoryError) as caught:
        rig.use("a")
    assert rig.memory.held == 0
    assert rig.state("a") == "failed"
    rig.memory.refuses = lambda _asked, _held: False
    del caught


def test_evicted_models_wait_in_the_host_tier_and_come_back_without_a_load() -> None:
    rig = Rig(budget=400, host_budget=600)
    rig.use("c", "b")
    stats = rig.cache.stats()
    assert (stats.resident, stats.offloaded, stats.host_bytes, stats.used_bytes) == (("b",), ("c",), 300, 200)
    with rig.cache.lease("c") as model:
        assert model.forward([words("one two")]).tokens[:, 0].tolist() == [3, 3]
    stats = rig.cache.stats()
    assert (stats.resident, stats.offloaded, stats.host_bytes, stats.used_bytes) == (("c",), ("b",), 200, 300)
    assert rig.loader.loaded == ["c", "b"]
    rig.cache.close()
    assert (rig.memory.held, rig.cache.stats().host_bytes) == (0, 0)


def test_a_swap_is_counted_timed_and_told() -> None:
    rig = Rig(budget=600, host_budget=400)
    rig.use("a")
    assert rig.cache.evict("a")
    rig.use("a")
    assert rig.loader.loaded == ["a"]
    assert rig.kinds("a") == ["loaded", "offloaded", "restored"]
    stats = rig.cache.stats()
    assert (stats.swaps, stats.loads, stats.evictions, stats.host_bytes) == (1, 1, 1, 0)
    assert 0 < stats.swap_ms == stats.models[0].swap_ms == rig.events[-1].seconds * 1000
    assert rig.events[-1].bytes == 100
    assert rig.cache.evict("a")
    assert rig.cache.evict("a")  # from the host, too
    assert not rig.cache.evict("a")
    assert rig.state("a") == "absent"
    rig.cache.close()


def test_a_full_host_tier_drops_what_is_worth_least() -> None:
    rig = Rig(budget=600, host_budget=400)
    for name in ("b", "a", "c"):
        rig.use(name)
        rig.clock.now += 100
    for name in ("b", "a"):
        rig.cache.evict(name)
    # The books' measured seconds are a machine's: these are a test's.
    for one in rig.cache._books.entries.values():
        one.load_seconds = {"b": 1.0, "a": 50.0, "c": 100.0}[one.name]
    rig.cache.evict("c")
    assert {name: rig.state(name) for name in "abc"} == {"a": "offloaded", "b": "absent", "c": "offloaded"}
    assert rig.cache.stats().host_bytes == 400
    rig.use("b")
    for one in rig.cache._books.entries.values():
        one.load_seconds = 1e-9 if one.name == "b" else 50.0
    rig.cache.evict("b")  # worth less than what is there: it is dropped itself
    assert {name: rig.state(name) for name in "abc"} == {"a": "offloaded", "b": "absent", "c": "offloaded"}
    rig.cache.close()


def test_a_host_that_refuses_drops_the_model_and_frees_the_device() -> None:
    rig = Rig(budget=600, host_budget=400)
    rig.use("a")

    def full(**_: Any) -> None:
        raise RuntimeError("cannot allocate pinned memory")

    rig.loader.models["a"].offload = full
    rig.cache.evict("a")
    assert (rig.memory.held, rig.cache.stats().host_bytes, rig.state("a")) == (0, 0, "absent")
    rig.cache.close()


def test_an_interrupted_eviction_leaves_every_model_where_it_is_or_gone(rig: Rig) -> None:
    rig.use("a", "b", "c")

    def interrupt() -> None:
        raise KeyboardInterrupt

    rig.loader.models["b"].unload = interrupt
    rig.loader.weights["large"] = 900  # whatever leaves for it, b is of it
    with pytest.raises(KeyboardInterrupt):
        rig.use("large")
    assert {rig.state(name) for name in "abc"} <= {"resident", "absent"}
    assert rig.state("b") == "resident"
    assert rig.memory.held == rig.cache.stats().used_bytes
    del rig.loader.models["b"].unload
    rig.use("large")


def test_a_swap_that_finds_no_memory_leaves_the_weights_in_the_host_tier() -> None:
    rig = Rig(budget=600, host_budget=400)
    rig.use("a")
    rig.cache.evict("a")
    rig.memory.refuses = lambda asked, _: asked == 100
    with pytest.raises(OutOfMemoryError):
        rig.use("a")
    assert (rig.state("a"), rig.cache.stats().used_bytes, rig.cache.stats().host_bytes) == ("offloaded", 0, 100)
    rig.memory.refuses = lambda _asked, _held: False
    rig.use("a")
    assert rig.loader.loaded == ["a"]
    rig.cache.close()


def test_idle_models_leave_after_their_time(rig: Rig) -> None:
    rig.cache.close()
    timed = Rig(idle_ttl=3600)
    timed.use("a")
    timed.clock.now += 3000
    timed.use("b")
    assert timed.cache.evict_idle() == 0
    timed.clock.now += 601
    with timed.cache.lease("b"):
        timed.clock.now += 9999
        assert timed.cache.evict_idle() == 1
        assert timed.cache.stats().resident == ("b",)
    timed.cache.close()
    assert rig.cache.evict_idle() == 0  # without idle_ttl nothing is ever too idle


def test_one_thread_evicts_the_idle_of_a_cache_that_nobody_calls() -> None:
    gone = threading.Event()
    memory = FakeMemory(1000)
    loader = FakeLoader(memory, {"a": 100})

    def heard(event: Event) -> None:
        if event.kind == "dropped":
            gone.set()

    cache = ModelCache(budget=1000, idle_ttl=0.02, loader=loader, memory=memory, on_event=heard)
    cache.preload("a")
    assert gone.wait(SECONDS)
    assert memory.held == 0
    del cache  # not closed: the thread ends with it
    gc.collect()
    eventually(lambda: "vectorplug-idle" not in {thread.name for thread in threading.enumerate()})


def test_stats_answer_while_a_model_loads_and_are_json(rig: Rig, pool: ThreadPoolExecutor) -> None:
    gate = Gate(rig, "c")
    loading = pool.submit(rig.use, "c")
    assert gate.begun.wait(SECONDS)
    stats = pool.submit(rig.cache.stats).result(SECONDS)
    assert (stats.models[0].state, stats.used_bytes) == ("loading", 300)
    assert "ModelCache(cpu, 300 of 1,000 bytes" in repr(rig.cache)
    rig.use("a")  # another model is not held up either
    gate.may_end.set()
    loading.result(SECONDS)
    told = json.loads(json.dumps(rig.cache.stats().as_dict()))
    assert set(told["resident"]) == {"a", "c"}
    assert told["device"] == {"size": 1000, "allocated": 400, "cached": 0, "others": 0, "free": 600}


def test_a_listener_may_ask_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def listener(event: Event) -> None:
        asked.append((event.kind, rig.cache.stats().used_bytes))
        raise ValueError("a bug of the caller's")

    rig = Rig(on_event=listener)
    with caplog.at_level("INFO", "vectorplug.residency"):
        rig.use("a")
        rig.cache.evict("a")
    assert asked == [("loaded", 100), ("dropped", 0)]
    assert "a: loaded" in caplog.text
    assert "a bug of the caller's" in caplog.text
    rig.cache.close()


def test_facts_outlive_the_weights(rig: Rig) -> None:
    assert rig.cache.facts("a").fingerprint == "a@0"
    rig.cache.evict("a")
    assert rig.cache.facts("a").token_dim == 2
    assert (rig.loader.loaded, rig.memory.held) == (["a"], 0)


def test_closing_drops_everything_and_refuses_the_rest(rig: Rig) -> None:
    rig.cache.pin("a")
    with rig.cache.lease("b") as leased:
        rig.cache.close()
        rig.cache.close()
        assert rig.memory.held == 200  # what is leased stays usable
        leased.forward([words("one")])
        with pytest.raises(ModelError, match="closed"):
            rig.use("a")
    assert rig.memory.held == 0
    with pytest.raises(ModelError, match="closed"):
        rig.cache.preload("c")


def test_closing_while_a_model_loads(rig: Rig, pool: ThreadPoolExecutor) -> None:
    gate = Gate(rig, "c")
    found = [pool.submit(rig.use, "c") for _ in range(5)]
    assert gate.begun.wait(SECONDS)
    rig.cache.close()  # does not wait
    waiting = [future.exception(SECONDS) for future in found if future.done()]
    gate.may_end.set()
    assert all(isinstance(future.exception(SECONDS), ModelError) for future in found)
    assert all("closed" in str(error) for error in waiting)
    assert rig.memory.held == 0


def test_closing_wakes_who_waits_for_room(rig: Rig, pool: ThreadPoolExecutor) -> None:
    with rig.cache.lease("e"), rig.cache.lease("d"):
        waiter = pool.submit(rig.use, "c")
        eventually(lambda: rig.state("c") == "loading")
        rig.cache.close()
        assert isinstance(waiter.exception(SECONDS), ModelError)


def test_an_interrupted_load_can_be_done_again(rig: Rig) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    rig.loader.hooks["a"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        rig.use("a")
    assert (rig.state("a"), rig.cache.stats().used_bytes) == ("absent", 0)
    rig.loader.hooks.clear()
    rig.use("a")


def test_wrong_use_says_what_is_expected() -> None:
    memory = FakeMemory(1000)
    loader = FakeLoader(memory, {})
    for options in ({"budget": 1001}, {"budget": "70%", "host_budget": "40%"}):
        with pytest.raises(ConfigurationError, match="lower them"):
            ModelCache(loader=loader, memory=memory, **options)
    with pytest.raises(ConfigurationError, match="idle_ttl is 0"):
        ModelCache(loader=loader, memory=memory, idle_ttl=0)
    with pytest.raises(ConfigurationError, match="expected bytes"):
        ModelCache(loader=loader, memory=memory, budget="much")
    with ModelCache(loader=loader, memory=memory) as cache:
        assert (cache.stats().budget_bytes, cache.stats().host_budget_bytes) == (800, 0)
