"""Which texts run next: the policy alone, without threads or clocks, so that every step of it can be tested."""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vectorplug.models.tokenizing import Role

__all__ = ["FairQueue"]

# A batch that so many texts did not fit in is full: looking further would cost more than the rest is worth.
LOOK_PAST = 32

Item = TypeVar("Item")


@dataclass(slots=True)
class Lane(Generic[Item]):
    """One request's waiting items in their order, each with its cost."""

    arrival: int
    role: Role
    items: deque[tuple[int, Item]] = field(default_factory=deque)

    def pop_into(self, batch: list[Item]) -> int:
        """Move the first item; its cost."""
        cost, item = self.items.popleft()
        batch.append(item)
        return cost


class FairQueue(Generic[Item]):
    """Items of many requests, each with an integer cost (tokens, say), out in batches of one role. Not thread-safe.

    A batch has the role of the oldest item and is filled in two parts:

    1. Half of the budget goes strictly by age, beginning with the oldest item of all, whatever it costs.
    2. What is left goes round, one item of each request a turn, so that a small request need not wait for a large one
       before it. An item that does not fit is passed over, and its request with it.

    Only the first part promises anything: an item with W of cost before it, in order of arrival, is in one of the next
    4 W / budget + 3 batches, whatever arrives after it. (While it waits, two successive batches of a role take more
    than half a budget of what is older than it: the second starts with what the first's half had no room for.)
    """

    def __init__(self) -> None:
        self._lanes: list[Lane[Item]] = []  # in order of arrival
        self.cost = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        return (item for lane in self._lanes for _, item in lane.items)

    def add(self, arrival: int, role: Role, items: Iterable[tuple[int, Item]]) -> None:
        """Append (cost, item) to the request that came as number `arrival`; it may have none waiting."""
        more = list(items)
        if not more:
            return
        place = self._place(arrival)
        if place == len(self._lanes) or self._lanes[place].arrival != arrival:
            self._lanes.insert(place, Lane(arrival, role))
        self._lanes[place].items.extend(more)
        self.cost += sum(cost for cost, _ in more)
        self._count += len(more)

    def drop(self, arrival: int) -> None:
        """Forget whatever waits of a request."""
        place = self._place(arrival)
        if place < len(self._lanes) and self._lanes[place].arrival == arrival:
            items = self._lanes.pop(place).items
            self.cost -= sum(cost for cost, _ in items)
            self._count -= len(items)

    def take(self, budget: int) -> list[Item]:
        """The next batch, of one role: at most `budget` of cost, or one item that costs more. Empty if none waits."""
        if not self._lanes:
            return []
        lanes = [lane for lane in self._lanes if lane.role == self._lanes[0].role]
        batch: list[Item] = []
        spent = 0
        for lane in lanes:
            while lane.items and (not batch or spent + lane.items[0][0] <= -(-budget // 2)):
                spent += lane.pop_into(batch)
            if lane.items:
                break
        turn = [lane for lane in lanes if lane.items]
        passed = 0
        while turn and spent < budget and passed < LOOK_PAST:
            fitting = []
            for lane in turn:
                if spent + lane.items[0][0] <= budget:
                    spent += lane.pop_into(batch)
                    fitting.append(lane)
                elif (passed := passed + 1) == LOOK_PAST:
                    break
            turn = [lane for lane in fitting if lane.items]
        self._lanes = [lane for lane in self._lanes if lane.items]
        self.cost -= spent
        self._count -= len(batch)
        return batch

    def _place(self, arrival: int) -> int:
        return bisect_left(self._lanes, arrival, key=lambda lane: lane.arrival)
