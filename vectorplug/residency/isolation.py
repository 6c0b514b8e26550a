"""A text that cannot be run fails alone: the batch is halved until the culprit stands by itself."""

import logging
import traceback
from collections.abc import Callable, Sequence
from typing import TypeVar

from vectorplug.errors import ModelError
from vectorplug.residency.memory import forget_frames

__all__ = ["isolate", "own_copy"]

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")


def isolate(
    run: Callable[[Sequence[Item]], Result], items: Sequence[Item]
) -> list[tuple[Sequence[Item], Result | BaseException]]:
    """`run` over all of n items at once, else over halves: (items, what they gave), or (one item, why it failed).

    k culprits cost about 2 k log2 n further runs. A batch that is too large for the memory comes through in halves;
    a text that is too large by itself fails with the error that says so. Errors come without their tracebacks.
    """
    if not items:
        return []
    try:
        return [(items, run(items))]
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the culprit's alone and ends no thread
        failure = own_copy(error)
        if len(items) == 1:
            # As text: a record that held the traceback would hold the tensors of its frames.
            logger.warning("one item failed by itself:\n%s", "".join(traceback.format_exception(error)))
        forget_frames(error)
    # Outside of the except clause: there, the failed run's tensors would be held while its halves run.
    if len(items) == 1:
        return [(items, failure)]
    middle = len(items) // 2
    return isolate(run, items[:middle]) + isolate(run, items[middle:])


def own_copy(error: BaseException) -> BaseException:
    """An equal exception for one more future, without the traceback, whose frames hold tensors."""
    try:
        # Not copy.copy: it calls the class with `args` alone, and some of ours need a keyword.
        copy = type(error).__new__(type(error), *error.args)
    except TypeError:  # a class that is made in a way of its own
        return ModelError(f"{type(error).__name__}: {error}")
    copy.__dict__.update(error.__dict__)
    return copy
