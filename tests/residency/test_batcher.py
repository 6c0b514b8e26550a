"""What `Batcher` promises: the policy step by step, the threads on a fake model, the vectors on real ones."""

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorplug import Muvera, Vectorizer
from vectorplug.errors import (
    ConfigurationError,
    InputError,
    ModelError,
    ModelLoadError,
    OutOfMemoryError,
    OverloadedError,
)
from vectorplug.models.encoder import Encoder
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import Role, TokenizedText
from vectorplug.residency.batcher import Batcher
from vectorplug.residency.fair_queue import FairQueue
from vectorplug.residency.isolation import isolate, own_copy

# A wait that takes so long is a deadlock: tests fail then, and otherwise never wait for the clock.
LIMIT = 20


# The policy, without threads.


def queue_of(*requests: tuple[Role, Sequence[int]]) -> FairQueue[tuple[int, int]]:
    """Requests of items with these costs; an item is (number of the request, its place there)."""
    queue: FairQueue[tuple[int, int]] = FairQueue()
    for arrival, (role, costs) in enumerate(requests):
        queue.add(arrival, role, [(cost, (arrival, i)) for i, cost in enumerate(costs)])
    return queue


def test_an_8000_token_text_under_a_stream_of_short_ones_is_in_the_next_batch() -> None:
    queue = queue_of(("document", [30] * 10), ("document", [8000]))
    for arrival in range(2, 500):
        queue.add(arrival, "document", [(30, (arrival, 0))])
    batches = [queue.take(4096)]
    while (1, 0) not in batches[-1] and len(batches) < 10:
        for arrival in range(1000 * len(batches), 1000 * len(batches) + 500):
            queue.add(arrival, "document", [(30, (arrival, 0))])
        batches.append(queue.take(4096))
    assert batches[-1] == [(1, 0)]
    assert len(batches) == 2


def test_a_small_request_does_not_wait_for_a_large_one_before_it() -> None:
    queue = queue_of(("document", [10] * 100_000), ("document", [10]))
    batch = queue.take(100)
    assert batch == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (0, 5), (1, 0), (0, 6), (0, 7), (0, 8)]


def test_many_small_requests_leave_a_large_one_half_of_every_batch() -> None:
    queue = queue_of(("document", [10] * 50), *[("document", [10])] * 1000)
    shares = [sum(arrival == 0 for arrival, _ in queue.take(100)) for _ in range(10)]
    assert shares == [6, 6, 6, 6, 6, 6, 6, 6, 2, 0]


def test_a_batch_has_the_role_of_the_oldest_text() -> None:
    queue = queue_of(("query", [1]), ("document", [1]), ("query", [1]))
    assert [queue.take(10), queue.take(10), queue.take(10)] == [[(0, 0), (2, 0)], [(1, 0)], []]


def test_what_does_not_fit_is_passed_over_until_its_turn_by_age() -> None:
    queue = queue_of(("document", [60]), ("document", [50]), ("document", [40]))
    assert [queue.take(100), queue.take(100)] == [[(0, 0), (2, 0)], [(1, 0)]]


def test_a_batch_looks_past_few_texts_that_do_not_fit() -> None:
    queue = queue_of(("document", [60]), *[("document", [50])] * 32, ("document", [40]))
    assert queue.take(100) == [(0, 0)]


def test_an_older_request_whose_texts_come_later_keeps_its_age() -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add(1, "document", [(10, "younger")])
    queue.add(0, "document", [(10, "older")])
    queue.add(1, "document", [(10, "younger still")])
    assert queue.take(10) == ["older"]
    assert (list(queue), len(queue), queue.cost) == (["younger", "younger still"], 2, 20)


def test_a_dropped_request_leaves_nothing() -> None:
    queue = queue_of(("document", [10, 20]), ("document", [30]))
    queue.drop(0)
    queue.drop(7)
    assert (list(queue), len(queue), queue.cost) == ([(1, 0)], 1, 30)


costs_of_requests = st.lists(
    st.tuples(st.sampled_from(["query", "document"]), st.lists(st.integers(0, 150), max_size=12)), max_size=12
)


@settings(max_examples=300, deadline=None)
@given(costs_of_requests, st.integers(1, 120))
def test_no_text_is_lost_or_doubled_and_the_budget_holds(requests: list[tuple[Role, list[int]]], budget: int) -> None:
    queue = queue_of(*requests)
    cost = {(i, j): cost for i, (_, costs) in enumerate(requests) for j, cost in enumerate(costs)}
    assert (queue.cost, len(queue)) == (sum(cost.values()), len(cost))
    taken: list[tuple[int, int]] = []
    while batch := queue.take(budget):
        assert len(batch) == 1 or sum(cost[item] for item in batch) <= budget
        assert len({requests[arrival][0] for arrival, _ in batch}) == 1
        taken += batch
    assert sorted(taken) == sorted(cost)
    assert [[i for a, i in taken if a == arrival] for arrival in range(len(requests))] == [
        list(range(len(costs))) for _, costs in requests
    ]
    assert (queue.cost, len(queue), list(queue)) == (0, 0, [])


@settings(max_examples=300, deadline=None)
@given(costs_of_requests, st.integers(1, 500), st.integers(1, 120), costs_of_requests)
def test_the_bounded_wait_holds_whatever_arrives_later(
    older: list[tuple[Role, list[int]]], cost: int, budget: int, stream: list[tuple[Role, list[int]]]
) -> None:
    queue = queue_of(*older, ("document", [cost]))
    waiting = (len(older), 0)
    bound = 4 * sum(sum(costs) for _, costs in older) / budget + 3
    batches = 1
    arrival = len(older)
    while waiting not in queue.take(budget):
        batches += 1
        assert batches <= bound
        for role, costs in stream:
            arrival += 1
            queue.add(arrival, role, [(later, (arrival, i)) for i, later in enumerate(costs)])


# A text that fails.


def test_the_culprits_fail_alone_in_few_runs() -> None:
    runs = []

    def run(items: Sequence[int]) -> int:
        runs.append(list(items))
        if any(item in (17, 40) for item in items):
            raise ValueError(f"no {items}")
        return sum(items)

    parts = isolate(run, range(64))
    assert [item for items, _ in parts for item in items] == list(range(64))
    failed = [items[0] for items, outcome in parts if isinstance(outcome, ValueError)]
    assert failed == [17, 40]
    assert sum(outcome for _, outcome in parts if isinstance(outcome, int)) == sum(range(64)) - 57
    assert len(runs) <= 1 + 2 * 2 * 6
    assert isolate(run, []) == []


class Tensorish:
    """Stands for a tensor in a frame of the failed run."""


def test_the_traceback_of_a_failure_holds_no_tensor_while_the_halves_run_or_later() -> None:
    held: list[weakref.ref[Tensorish]] = []

    def run(_: Sequence[int]) -> None:
        assert all(tensor() is None for tensor in held)
        tensor = Tensorish()
        held.append(weakref.ref(tensor))
        try:
            raise MemoryError("inner")
        except MemoryError as error:
            kept = error  # a frame that holds its own exception, as frames of libraries do
            raise RuntimeError("outer") from kept

    gc.disable()
    try:
        parts = isolate(run, [1, 2, 3])
        assert all(tensor() is None for tensor in held)
    finally:
        gc.enable()
    assert all(isinstance(outcome, RuntimeError) and outcome.__traceback__ is None for _, outcome in parts)


@pytest.mark.parametrize(
    "error",
    [
        InputError("bad", index=3),
        OverloadedError("later", retry_after=2.5),
        OutOfMemoryError("needs 5 GB, 3 GB free"),
        torch.OutOfMemoryError("CUDA out of memory"),
        FileNotFoundError(2, "gone"),
    ],
)
def test_a_copy_is_the_same_error_but_another_object(error: Exception) -> None:
    copy = own_copy(error)
    assert copy is not error
    assert (type(copy), copy.args, str(copy), copy.__dict__) == (type(error), error.args, str(error), error.__dict__)


class Peculiar(Exception):
    def __new__(cls, *, code: int) -> "Peculiar":  # noqa: ARG004 - the signature is the point
        return super().__new__(cls)

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}", code)


def test_an_error_that_cannot_be_copied_is_told() -> None:
    copy = own_copy(Peculiar(code=3))
    assert isinstance(copy, ModelError)
    assert str(copy) == "Peculiar: ('code 3', 3)"


# The threads, on a model that does as it is told.


class FakeModel:
    """A token a word, vectors that tell their text; it notes what it ran, and holds a forward pass while told to."""

    batch_tokens = 100

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.tokenized: list[list[str]] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.while_running: Callable[[], object] = lambda: None

    def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:
        self.tokenized.append(list(texts))
        if any("untokenizable" in text for text in texts):
            raise TypeError("no text")
        words = [len(text.split()) for text in texts]
        return [
            TokenizedText(text, role, torch.zeros(n, dtype=torch.int64), None, n, n % 7, None)
            for text, n in zip(texts, words, strict=True)
        ]

    def forward(self, texts: Sequence[TokenizedText]) -> Piece:
        self.batches.append([text.text for text in texts])
        assert self.may_run.wait(LIMIT)
        self.while_running()
        if any("poison" in text.text for text in texts):
            raise RuntimeError("this text cannot be run")
        if sum("huge" in text.text for text in texts) > 1 or any("enormous" in text.text for text in texts):
            raise OutOfMemoryError(f"{len(texts)} texts need 8 GB, 2 GB are free")
        lengths = np.array([max(len(text), 1) for text in texts])
        tokens = np.concatenate([np.repeat([vector_of(t.text)], n, 0) for t, n in zip(texts, lengths, strict=True)])
        if any("not a number" in text.text for text in texts):
            tokens[np.repeat(["not a number" in text.text for text in texts], lengths)] = np.nan
        return Piece(tokens, lengths, np.stack([vector_of(text.text) for text in texts]))


def vector_of(text: str) -> np.ndarray:
    return np.random.default_rng(list(text.encode())).standard_normal(4).astype(np.float32)


def words(n: int, name: str = "w") -> str:
    return " ".join([name] * n)


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def batcher(model: FakeModel) -> Iterator[Batcher]:
    before = set(threading.enumerate())
    with Batcher(lambda: nullcontext(model), fde=Muvera(dim=4, dproj=4, ksim=2, repetitions=2)) as made:
        yield made
        model.may_run.set()
    assert set(threading.enumerate()) <= before


@contextmanager
def busy(batcher: Batcher, model: FakeModel) -> Iterator[Future[Any]]:
    """While the forward thread runs a first request; leaving lets it go on."""
    model.may_run.clear()
    ran = len(model.batches)
    first = batcher.submit("the first", "document", ["dense"])
    until(lambda: len(model.batches) > ran)
    try:
        yield first
    finally:
        model.may_run.set()
    first.result(LIMIT)


def until(happened: Callable[[], bool]) -> None:
    """Wait for what another thread is about to do."""
    deadline = time.monotonic() + LIMIT
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.001)


def all_tokenized(batcher: Batcher, model: FakeModel, waiting: int) -> Callable[[], bool]:
    """Whether so many texts wait, all of them tokenized; as many as that before are running."""
    before = sum(map(len, model.batches))
    return lambda: batcher.stats().queue_texts == waiting and sum(map(len, model.tokenized)) == waiting + before


def test_small_requests_that_pile_up_share_a_batch_and_each_gets_its_own(batcher: Batcher, model: FakeModel) -> None:
    with busy(batcher, model):
        futures = [batcher.submit(f"text number {n}", "document", ["dense"]) for n in range(20)]
        until(all_tokenized(batcher, model, 20))
    for n, future in enumerate(futures):
        assert np.array_equal(future.result(LIMIT).dense, [vector_of(f"text number {n}")])
    assert [len(batch) for batch in model.batches] == [1, 20]


def test_a_single_request_runs_at_once_and_alone(batcher: Batcher, model: FakeModel) -> None:
    for n in range(3):
        batcher.encode(f"text {n}", "query", ["dense"])
    assert model.batches == [["text 0"], ["text 1"], ["text 2"]]


def test_a_large_request_is_split_and_put_together_in_order(batcher: Batcher, model: FakeModel) -> None:
    texts = [words(n % 30 + 1, f"w{n}") for n in range(60)]
    encoded = batcher.submit(texts, "document", ["tokens", "fde", "dense"]).result(LIMIT)
    assert len(model.batches) > 5
    assert all(len(batch) == 1 or sum(len(t.split()) for t in batch) <= 100 for batch in model.batches)
    assert sorted(text for batch in model.batches for text in batch) == sorted(texts)
    assert np.array_equal(encoded.dense, [vector_of(text) for text in texts])
    assert encoded.tokens.lengths.tolist() == [n % 30 + 1 for n in range(60)]
    assert all(np.array_equal(encoded.tokens[n][-1], vector_of(text)) for n, text in enumerate(texts))
    assert encoded.truncated.tolist() == [(n % 30 + 1) % 7 for n in range(60)]
    assert encoded.fde.shape == (60, 2 * 4 * 4)


def test_batches_are_of_one_role(batcher: Batcher, model: FakeModel) -> None:
    with busy(batcher, model):
        futures = [batcher.submit(f"{role} {n}", role, ["fde"]) for n in range(9) for role in ("query", "document")]
        until(all_tokenized(batcher, model, 18))
    for future in futures:
        future.result(LIMIT)
    assert all(len({text.split()[0] for text in batch}) == 1 for batch in model.batches)


def test_one_request_for_everything_is_one_forward_pass(batcher: Batcher, model: FakeModel) -> None:
    encoded = batcher.encode(["a b", "c"], "document", ["tokens", "fde", "dense"])
    assert (len(model.batches), len(model.batches[0])) == (1, 2)
    muvera = Muvera(dim=4, dproj=4, ksim=2, repetitions=2)
    assert np.array_equal(encoded.fde, muvera.encode_documents(encoded.tokens))
    query = batcher.encode("a b", "query", ["tokens", "fde"])
    assert np.array_equal(query.fde, muvera.encode_queries(query.tokens))
    assert query.dense is None
    assert batcher.encode("a b", "query", ["fde"]).tokens is None


def test_equal_texts_of_a_request_run_once(batcher: Batcher, model: FakeModel) -> None:
    encoded = batcher.encode(["a", "b c", "a", "a"], "document", ["tokens", "dense", "fde"])
    assert sorted(text for batch in model.batches for text in batch) == ["a", "b c"]
    assert np.array_equal(encoded.dense, [vector_of(text) for text in ("a", "b c", "a", "a")])
    assert encoded.tokens.lengths.tolist() == [1, 2, 1, 1]
    assert np.array_equal(encoded.fde[0], encoded.fde[3])


def test_a_request_of_no_text_has_the_right_shapes(batcher: Batcher) -> None:
    encoded = batcher.submit([], "document", ["tokens", "fde", "dense"]).result(LIMIT)
    assert (len(encoded.tokens), encoded.tokens.dim) == (0, 4)
    assert (encoded.fde.shape, encoded.dense.shape, len(encoded.truncated)) == ((0, 32), (0, 4), 0)


def test_a_text_without_tokens_runs_too(batcher: Batcher) -> None:
    assert len(batcher.submit(["", "a"], "document", ["dense"]).result(LIMIT)) == 2


def test_a_long_text_under_a_stream_of_short_ones_is_served_within_the_bound(
    batcher: Batcher, model: FakeModel
) -> None:
    streamed: list[Future[Any]] = []

    def more() -> None:  # as many as a batch takes, with each batch: the stream never dries up by itself
        if len(model.batches) < 200:
            streamed.extend(
                batcher.submit(words(10, f"s{len(streamed) + n}"), "document", ["dense"]) for n in range(10)
            )

    model.while_running = more
    with busy(batcher, model):
        older = [batcher.submit(words(10, f"o{n}"), "document", ["dense"]) for n in range(30)]
        long = batcher.submit(words(8000, "long"), "document", ["tokens"])
        until(all_tokenized(batcher, model, 31))
    assert long.result(LIMIT).tokens.lengths.tolist() == [8000]
    served = next(n for n, batch in enumerate(model.batches) if words(8000, "long") in batch)
    assert served <= 1 + 4 * 300 / 100 + 3
    model.while_running = lambda: None
    for future in (*older, *streamed):
        future.result(LIMIT)


def test_a_cancelled_request_is_removed_and_holds_nobody_up(batcher: Batcher, model: FakeModel) -> None:
    with busy(batcher, model):
        cancelled = batcher.submit([words(90, f"c{n}") for n in range(50)], "document", ["dense"])
        other = batcher.submit("other", "document", ["dense"])
        until(lambda: len(model.tokenized) == 2)  # the tokenizer is so far ahead that it waits
        assert cancelled.cancel()
        assert wait([cancelled, other], LIMIT, FIRST_COMPLETED).done == {cancelled}
        until(lambda: batcher.stats().queue_texts == 1)
    assert np.array_equal(other.result(LIMIT).dense, [vector_of("other")])
    assert model.batches == [["the first"], ["other"]]


def test_a_request_is_cancelled_even_while_it_runs(batcher: Batcher, model: FakeModel) -> None:
    model.may_run.clear()
    running = batcher.submit([words(60, "x"), words(60, "y")], "document", ["dense"])
    until(lambda: len(model.batches) == 1)
    assert running.cancel()
    model.may_run.set()
    with pytest.raises(CancelledError):
        running.result(LIMIT)
    batcher.encode("after", "document", ["dense"])
    assert model.batches == [[words(60, "x")], ["after"]]


def test_a_task_that_is_cancelled_cancels_its_request(batcher: Batcher, model: FakeModel) -> None:
    async def ask() -> None:
        task = asyncio.ensure_future(asyncio.wrap_future(batcher.submit("asked", "document", ["dense"])))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with busy(batcher, model):
        asyncio.run(ask())
        until(lambda: batcher.stats().queue_texts == 0)
    batcher.encode("after", "document", ["dense"])
    assert ["asked"] not in model.batches


@pytest.mark.parametrize(
    ("bad", "kind", "said"),
    [
        ("poison", RuntimeError, "cannot be run"),
        ("untokenizable", TypeError, "no text"),
        ("not a number", InputError, "NaN"),
        ("enormous", OutOfMemoryError, "need 8 GB"),
    ],
)
@pytest.mark.parametrize("outputs", [["tokens"], ["tokens", "fde", "dense"]])
def test_a_text_that_cannot_be_run_fails_alone(
    batcher: Batcher, model: FakeModel, bad: str, kind: type[Exception], said: str, outputs: list[Any]
) -> None:
    with busy(batcher, model):
        before = [batcher.submit(f"good {n}", "document", outputs) for n in range(10)]
        culprits = [batcher.submit(["fine", f"{bad} {n}"], "document", outputs) for n in range(2)]
        after = [batcher.submit(f"good {n}", "document", outputs) for n in range(10)]
        until(lambda: not batcher.stats().queue_texts or sum(map(len, model.tokenized)) >= 24)
    for n, future in enumerate([*before, *after]):
        assert np.array_equal(future.result(LIMIT).tokens[0][0], vector_of(f"good {n % 10}"))
    errors = [culprit.exception(LIMIT) for culprit in culprits]
    assert errors[0] is not errors[1]
    for error in errors:
        assert isinstance(error, kind)
        assert said in str(error)
        assert error.__traceback__ is error.__cause__ is error.__context__ is None
        assert bad == "not a number" or error.__notes__ == ["text 1 of its request"]
        assert not isinstance(error, InputError) or error.index == 1
    assert batcher.stats().queue_texts == 0


def test_what_is_too_large_together_runs_in_halves(batcher: Batcher, model: FakeModel) -> None:
    with busy(batcher, model):
        futures = [batcher.submit(f"huge {n}", "document", ["dense"]) for n in range(6)]
        until(all_tokenized(batcher, model, 6))
    for n, future in enumerate(futures):
        assert np.array_equal(future.result(LIMIT).dense, [vector_of(f"huge {n}")])


def test_wrong_use_says_what_is_expected(model: FakeModel) -> None:
    with Batcher(lambda: nullcontext(model)) as batcher:
        with pytest.raises(InputError, match="text 1 is a int") as caught:
            batcher.submit(["fine", 3], "document", ["dense"])
        assert caught.value.index == 1
        with pytest.raises(InputError, match="lone surrogate"):
            batcher.submit("\ud800", "document", ["dense"])
        with pytest.raises(ConfigurationError, match="role is 'passage', expected one of query, document"):
            batcher.submit("a", "passage", ["dense"])
        for outputs in ([], "dense", ["sparse"]):
            with pytest.raises(ConfigurationError, match="expected a sequence of tokens, fde, dense"):
                batcher.submit("a", "document", outputs)
        with pytest.raises(ConfigurationError, match="fde=None"):
            batcher.submit("a", "document", ["fde"])
    with pytest.raises(ConfigurationError, match="batch_tokens is 0"):
        Batcher(lambda: nullcontext(model), batch_tokens=0)
    with pytest.raises(ConfigurationError, match="queue_tokens is 0"):
        Batcher(lambda: nullcontext(model), queue_tokens=0)


def test_too_much_that_waits_is_refused_until_there_is_room(model: FakeModel) -> None:
    with Batcher(lambda: nullcontext(model), queue_tokens=200) as batcher:
        with busy(batcher, model):
            accepted = [batcher.submit([words(50, "a"), words(50, "b")], "document", ["dense"])]
            until(all_tokenized(batcher, model, 2))
            accepted.append(batcher.submit([words(50, "c"), words(50, "d")], "document", ["dense"]))
            until(all_tokenized(batcher, model, 4))
            assert batcher.stats().queue_tokens == 200
            with pytest.raises(OverloadedError, match="200 tokens wait, this batcher holds 200") as caught:
                batcher.submit("one more", "document", ["dense"])
            assert caught.value.retry_after == 1.0  # nothing is measured yet
        for future in accepted:
            future.result(LIMIT)
        assert len(batcher.encode([words(90, f"{n}") for n in range(50)], "document", ["dense"])) == 50
        with busy(batcher, model):
            batcher.submit(words(300), "document", ["dense"])
            until(all_tokenized(batcher, model, 1))
            with pytest.raises(OverloadedError) as caught:
                batcher.submit("one more", "document", ["dense"])
        stats = batcher.stats()
        assert caught.value.retry_after == pytest.approx(150 / stats.tokens_a_second, rel=0.99)
        assert 0 < stats.forward_busy <= 1


def test_requests_pile_up_untokenized_only_as_far_as_the_limit(model: FakeModel) -> None:
    loading = threading.Event()

    @contextmanager
    def lease() -> Iterator[FakeModel]:
        assert loading.wait(LIMIT)
        yield model

    with Batcher(lease, queue_tokens=1000) as batcher:
        futures = [batcher.submit(f"{n}", "document", ["dense"]) for n in range(8)]
        with pytest.raises(OverloadedError):  # 8 texts of, it is guessed, 128 tokens
            batcher.submit("one more", "document", ["dense"])
        loading.set()
        for future in futures:
            future.result(LIMIT)


def test_a_model_that_cannot_be_leased_fails_who_waits_and_nobody_later(model: FakeModel) -> None:
    broken = threading.Event()

    @contextmanager
    def lease() -> Iterator[FakeModel]:
        if broken.is_set():
            raise ModelLoadError("model.safetensors is truncated")
        yield model

    with Batcher(lease) as batcher:
        with busy(batcher, model) as first:
            waiting = [batcher.submit(f"{n}", "document", ["dense"]) for n in range(3)]
            until(all_tokenized(batcher, model, 3))
            broken.set()
            waiting.append(batcher.submit("later", "document", ["dense"]))
            errors = [future.exception(LIMIT) for future in waiting]
        assert len(first.result(LIMIT)) == 1
        assert len(set(map(id, errors))) == 4
        assert all(isinstance(error, ModelLoadError) and "truncated" in str(error) for error in errors)
        broken.clear()
        assert len(batcher.encode("well again", "document", ["dense"])) == 1


def test_the_lease_is_held_for_a_batch_and_no_longer(model: FakeModel) -> None:
    held = 0
    most = []

    @contextmanager
    def lease() -> Iterator[FakeModel]:
        nonlocal held
        held += 1
        yield model
        held -= 1

    model.while_running = lambda: most.append(held)
    with Batcher(lease) as batcher:
        batcher.encode([words(60, f"{n}") for n in range(5)], "document", ["dense"])
        until(lambda: held == 0)
    assert len(most) == 5
    assert max(most) <= 2  # the forward pass's, and the tokenizer's while it works


def test_close_ends_the_running_batch_and_fails_the_rest(model: FakeModel) -> None:
    before = set(threading.enumerate())
    batcher = Batcher(lambda: nullcontext(model))
    assert {t.name for t in set(threading.enumerate()) - before} == {
        f"vectorplug-{stage}" for stage in ("tokenize", "forward", "finish")
    }
    with busy(batcher, model) as first:
        large = batcher.submit([words(90, f"{n}") for n in range(50)], "document", ["dense"])
        small = batcher.submit("small", "document", ["dense"])
        closing = threading.Thread(target=batcher.close)
        closing.start()
        errors = [future.exception(LIMIT) for future in (large, small)]
        assert all(isinstance(error, ModelError) and "was closed" in str(error) for error in errors)
        with pytest.raises(ModelError, match="was closed"):
            batcher.submit("too late", "document", ["dense"])
    assert np.array_equal(first.result(LIMIT).dense, [vector_of("the first")])
    closing.join(LIMIT)
    batcher.close()
    assert set(threading.enumerate()) <= before


def test_texts_that_are_being_tokenized_while_it_closes_fail_too() -> None:
    loaded, close_begun = threading.Event(), threading.Event()

    class Slow(FakeModel):
        def tokenize(self, texts: Sequence[str], role: Role) -> list[TokenizedText]:
            loaded.set()
            assert close_begun.wait(LIMIT)
            return super().tokenize(texts, role)

    batcher = Batcher(lambda: nullcontext(Slow()))
    future = batcher.submit("a", "document", ["dense"])
    assert loaded.wait(LIMIT)
    closing = threading.Thread(target=batcher.close)
    closing.start()
    until(lambda: batcher._room._closed)
    close_begun.set()
    assert isinstance(future.exception(LIMIT), ModelError)
    closing.join(LIMIT)


def test_a_callback_may_close_the_batcher(model: FakeModel) -> None:
    batcher = Batcher(lambda: nullcontext(model))
    closed = threading.Event()

    def close(_: Future[Any]) -> None:
        batcher.close()
        closed.set()

    batcher.submit("a", "document", ["dense"]).add_done_callback(close)
    assert closed.wait(LIMIT)
    batcher.close()


def test_a_batcher_that_nobody_closes_lets_the_interpreter_end() -> None:
    code = (
        "from contextlib import nullcontext; from vectorplug.residency.batcher import Batcher;"
        "Batcher(lambda: nullcontext(None)).submit('a', 'document', ['dense'])"
    )
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_vectors_are_held_once_the_results_are_out(batcher: Batcher, model: FakeModel) -> None:
    pieces: list[weakref.ref[Any]] = []
    forward = model.forward

    def noted(texts: Sequence[TokenizedText]) -> Piece:
        piece = forward(texts)
        pieces.append(weakref.ref(piece.tokens))
        return piece

    model.forward = noted
    results = [batcher.encode(f"text {n}", "document", ["tokens", "fde", "dense"]) for n in range(3)]
    gc.collect()
    until(lambda: all(tokens() is None for tokens in pieces))
    assert len(results) == len(pieces) == 3


def test_the_trace_tells_what_the_stages_did(batcher: Batcher) -> None:
    assert batcher.stats().tokens_a_second == batcher.stats().forward_busy == 0.0
    batcher.encode([words(60, "a"), words(60, "b")], "document", ["fde"])
    until(lambda: len(batcher.trace()) == 5)
    assert [(s.stage, s.texts, s.tokens) for s in batcher.trace() if s.stage != "finish"] == [
        ("tokenize", 2, 0),
        ("forward", 1, 60),
        ("forward", 1, 60),
    ]
    stats = batcher.stats()
    assert (stats.batches, stats.tokens_a_batch, stats.queue_tokens) == (2, 60.0, 0)


def test_stages_overlap(batcher: Batcher, model: FakeModel) -> None:
    """While a forward pass runs, the next texts are tokenized and the batch before is finished."""
    batches = [words(90, f"{n}") for n in range(3)]
    finished: list[bool] = []
    first = batcher.submit(batches[0], "document", ["fde"])

    def look() -> None:
        if len(model.batches) == 2:
            finished.append(len(first.result(LIMIT)) == 1)
            third.append(batcher.submit(batches[2], "document", ["fde"]))
            until(lambda: [batches[2]] in model.tokenized)

    third: list[Future[Any]] = []
    model.while_running = look
    batcher.encode(batches[1], "document", ["fde"])
    third[0].result(LIMIT)
    assert finished == [True]


# Real models.

TEXTS = [
    "the sea",
    "a ship on the sea " * 3,
    "bread and flour",
    "which of these texts is about the sea",
    "wave " * 80,
    "",
]


@pytest.mark.parametrize("checkpoint", ["tiny_colbert", "tiny_dense"])
@pytest.mark.parametrize("role", ["query", "document"])
def test_results_equal_the_vectorizer_s(request: pytest.FixtureRequest, checkpoint: str, role: Role) -> None:
    folder = str(request.getfixturevalue(checkpoint))
    vectorizer = Vectorizer(folder, device="cpu", dtype="float32")
    encoder = Encoder(folder, device="cpu", dtype="float32")
    encode = vectorizer.encode_query if role == "query" else vectorizer.encode_document
    expected = encode(TEXTS)
    with Batcher(lambda: nullcontext(encoder), fde=vectorizer.fde, batch_tokens=50) as batcher:
        found = batcher.encode(TEXTS, role, ["tokens", "fde", "dense"])
    assert found.tokens.lengths.tolist() == expected.tokens.lengths.tolist()
    assert found.truncated.tolist() == expected.truncated.tolist()
    for mine, theirs in (
        (found.tokens.values, expected.tokens.values),
        (found.fde, expected.fde),
        (found.dense, expected.dense),
    ):
        assert mine.dtype == theirs.dtype
        cosine = (mine * theirs).sum(1) / (np.linalg.norm(mine, axis=1) * np.linalg.norm(theirs, axis=1))
        assert cosine.min() >= 0.9999


@pytest.fixture(scope="module")
def colbert(tiny_colbert: Path) -> Encoder:
    return Encoder(str(tiny_colbert), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def numbered(tiny_colbert: Path) -> tuple[list[str], Any]:
    """64 texts of different lengths, and their vectors."""
    texts = [f"document number {n} on the sea " * (n % 4 + 1) for n in range(64)]
    return texts, Vectorizer(str(tiny_colbert), device="cpu", dtype="float32").encode_document(texts)


def check(found: Any, expected: Any, n: int) -> None:
    assert np.allclose(found.tokens[0], expected.tokens[n], atol=1e-5)
    assert np.allclose(found.dense[0], expected.dense[n], atol=1e-5)


def test_64_threads_get_their_own_vectors(colbert: Encoder, numbered: tuple[list[str], Any]) -> None:
    texts, expected = numbered
    start = threading.Barrier(64)

    def call(n: int) -> list[Any]:
        start.wait(LIMIT)
        return [batcher.encode(texts[n], "document", ["tokens", "dense"]) for _ in range(3)]

    with Batcher(lambda: nullcontext(colbert)) as batcher, ThreadPoolExecutor(64) as pool:
        for n, results in enumerate(pool.map(call, range(64))):
            for found in results:
                check(found, expected, n)
        assert batcher.stats().batches < 64  # of 192 requests


def test_64_tasks_get_their_own_vectors(colbert: Encoder, numbered: tuple[list[str], Any]) -> None:
    texts, expected = numbered

    async def call_all(batcher: Batcher) -> list[Any]:
        calls = [asyncio.wrap_future(batcher.submit(text, "document", ["tokens", "dense"])) for text in texts]
        return await asyncio.gather(*calls)

    with Batcher(lambda: nullcontext(colbert)) as batcher:
        for n, found in enumerate(asyncio.run(call_all(batcher))):
            check(found, expected, n)
