"""Some requests at once: all are done, in order, and what one raises arrives."""

import threading

import pytest

from vectorplug.search.inflight import InFlight


@pytest.mark.parametrize("at_once", [1, 3])
def test_results_come_in_order_and_none_is_left(at_once: int) -> None:
    done: list[int] = []
    with InFlight(lambda item: item * item, at_once, done.append) as running:
        for i in range(20):
            running.submit(i)
        running.wait()
        assert done == [i * i for i in range(20)]
        running.submit(20)
    assert done[-1] == 400


def test_as_many_run_at_once_as_are_allowed() -> None:
    # Passes only once three threads wait at it together; a fourth is not begun before one of them is done.
    meeting = threading.Barrier(3, timeout=30)
    begun: list[int] = []

    def meet(item: int) -> None:
        begun.append(item)
        meeting.wait()

    with InFlight(meet, 3, lambda _: None) as running:
        for i in range(9):
            running.submit(i)
            assert len(begun) <= i + 1
    assert sorted(begun) == list(range(9))


def test_with_one_at_once_it_is_the_callers_thread() -> None:
    threads: list[threading.Thread] = []
    with InFlight(lambda _: threads.append(threading.current_thread()), 1, lambda _: None) as running:
        running.submit(0)
    assert threads == [threading.current_thread()]


@pytest.mark.parametrize("at_once", [1, 2])
def test_an_error_arrives_and_what_was_begun_ends(at_once: int) -> None:
    ended: list[int] = []

    def work(item: int) -> None:
        if item == 1:
            raise ConnectionResetError
        ended.append(item)

    def submit_all() -> None:
        with InFlight(work, at_once, lambda _: None) as running:
            for i in range(4):
                running.submit(i)

    with pytest.raises(ConnectionResetError):
        submit_all()
    assert 0 in ended
    assert 1 not in ended


def test_an_error_of_the_block_waits_for_what_was_begun() -> None:
    gate, ended = threading.Event(), threading.Event()

    def work(_: int) -> None:
        assert gate.wait(30)
        ended.set()

    def interrupted() -> None:
        with InFlight(work, 2, lambda _: None) as running:
            running.submit(0)
            gate.set()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert ended.is_set()
