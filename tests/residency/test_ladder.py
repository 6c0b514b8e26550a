"""Every rung of the out-of-memory ladder, driven by a device that refuses, on the CPU."""

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from residency.fakes import FakeLoader, FakeMemory, FakeModel, words

from vectorplug.errors import OutOfMemoryError
from vectorplug.models.piece import Piece
from vectorplug.residency.cache import ModelCache
from vectorplug.residency.events import Event
from vectorplug.residency.ladder import Ladder

TEXTS = [words(" ".join(["word" * (i + 1)] * 4)) for i in range(8)]


class Rig:
    """A model of 100 bytes and 10 a token on a device of 1,000, and a ladder around it."""

    def __init__(self) -> None:
        self.memory = FakeMemory(1000)
        self.model = FakeModel("m", self.memory, 100, per_token=10)
        self.rungs: list[str] = []
        self.evicts: Callable[[], int] = lambda: 0
        self.ladder = Ladder(
            "m",
            self.memory,
            self.model.forward_once,
            evict_idle=lambda: self.evicts(),
            compact=lambda: self.model.compact(self.memory.release_cached),
            holders=lambda: "m 100",
            on_rung=self.rungs.append,
        )


@pytest.fixture
def rig() -> Rig:
    return Rig()


def same(one: Piece, other: Piece) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("tokens", "lengths", "dense"))


def test_nothing_happens_while_memory_lasts(rig: Rig) -> None:
    assert same(rig.ladder.forward(TEXTS), rig.model.forward_once(TEXTS))
    assert (rig.rungs, rig.memory.released) == ([], 0)


def test_first_cached_blocks_are_given_back(rig: Rig) -> None:
    rig.memory.cached = 500
    rig.memory.refuses = lambda asked, _: asked > 300 and rig.memory.cached > 0
    rig.ladder.forward(TEXTS)
    assert rig.model.batches == [32]  # the whole batch, in one pass
    assert rig.memory.released == 1
    assert len(rig.rungs) == 1


def test_then_the_batch_is_halved_and_the_order_kept(rig: Rig) -> None:
    expected = rig.model.forward_once(TEXTS)
    rig.model.batches.clear()
    rig.memory.refuses = lambda asked, _: asked > 100
    assert same(rig.ladder.forward(TEXTS), expected)
    assert rig.model.batches == [8, 8, 8, 8]


def test_the_size_that_ran_out_is_remembered_for_texts_of_that_length(rig: Rig) -> None:
    rig.memory.refuses = lambda asked, _: asked > 100
    rig.ladder.forward(TEXTS)
    rig.rungs.clear()
    rig.model.batches.clear()
    rig.ladder.forward(TEXTS)
    assert (rig.rungs, rig.model.batches) == ([], [8, 8, 8, 8])  # no refusal this time
    rig.memory.refuses = lambda _asked, _held: False
    rig.model.batches.clear()
    rig.ladder.forward([words("one two")] * 16)
    assert rig.model.batches == [32]  # texts of another length are not held back


def test_idle_models_leave_for_a_text_that_cannot_be_halved(rig: Rig) -> None:
    idle = FakeModel("idle", rig.memory, 870)

    def evict() -> int:
        idle.unload()
        return 1

    rig.evicts = evict
    assert rig.ladder.forward(TEXTS[:1]).lengths.tolist() == [4]
    assert rig.model.compacted == 0
    assert len(rig.rungs) == 2


def test_at_last_the_weights_go_out_and_back_in_one_piece(rig: Rig) -> None:
    rig.memory.refuses = lambda asked, _: asked == 40 and rig.model.compacted == 0
    assert rig.ladder.forward(TEXTS[:1]).lengths.tolist() == [4]
    assert rig.model.compacted == 1
    assert len(rig.rungs) == 3


def test_what_fits_nowhere_is_an_error_with_the_numbers(rig: Rig) -> None:
    rig.memory.others = 880
    with pytest.raises(OutOfMemoryError, match="one text of 4 tokens") as caught:
        rig.ladder.forward(TEXTS[:1])
    said = str(caught.value)
    assert "1,000 bytes: 20 free, 100 in use here (m 100), 880 held by other processes" in said
    rig.memory.others = 0
    assert rig.ladder.forward(TEXTS[:1]).lengths.tolist() == [4]  # and nothing is broken by it


def test_a_restore_that_fails_on_the_ladder_is_made_good_by_the_next_pass(rig: Rig) -> None:
    rig.memory.refuses = lambda asked, _: asked in (40, 100)
    with pytest.raises(OutOfMemoryError):
        rig.ladder.forward(TEXTS[:1])
    assert rig.model.weight_bytes == 0
    rig.memory.refuses = lambda _asked, _held: False
    assert rig.ladder.forward(TEXTS[:1]).lengths.tolist() == [4]


def test_other_errors_pass_through_and_cost_no_rung(rig: Rig) -> None:
    def broken() -> None:
        raise RuntimeError("the shapes do not match")

    rig.model.during = broken
    with pytest.raises(RuntimeError, match="the shapes"):
        rig.ladder.forward(TEXTS)
    assert rig.rungs == []


def test_no_error_keeps_the_tensors_of_the_failed_pass(rig: Rig) -> None:
    held, kept_elsewhere = [], []

    def run(_: object) -> Piece:
        activations = torch.zeros(10)
        held.append(weakref.ref(activations))
        kept_elsewhere.append(torch.OutOfMemoryError("CUDA out of memory"))
        raise kept_elsewhere[-1]

    rig.ladder = Ladder(
        "m",
        rig.memory,
        run,
        evict_idle=lambda: 1,
        compact=lambda: None,
        holders=lambda: "",
        on_rung=lambda _: gc.collect() or None,
    )
    with pytest.raises(OutOfMemoryError) as caught:
        rig.ladder.forward(TEXTS[:1])
    kept = caught.value
    assert len(held) == 4
    assert [one() for one in held] == [None] * 4
    assert kept.__context__ is None


def test_the_cache_puts_the_ladder_round_every_pass_of_its_models() -> None:
    memory = FakeMemory(1000)
    loader = FakeLoader(memory, {"a": 100, "idle": 500}, per_token=1)
    events: list[Event] = []
    with ModelCache(budget=900, loader=loader, memory=memory, on_event=events.append) as cache:
        cache.preload("idle")
        with cache.lease("a") as model:
            memory.refuses = lambda asked, held: asked == 4 and held > 400
            assert model.forward(TEXTS[:1]).lengths.tolist() == [4]
        assert cache.stats().resident == ("a",)
    assert [event.kind for event in events] == ["loaded", "loaded", "out of memory", "out of memory", *["dropped"] * 2]
    assert memory.held == 0
