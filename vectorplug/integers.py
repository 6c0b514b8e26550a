"""Whole numbers that a caller gives as parameters."""

import operator
from typing import Any

from vectorplug.errors import ConfigurationError

__all__ = ["checked_integer"]


def checked_integer(name: str, value: Any, low: int, high: int | None = None, *, hint: str = "") -> int:
    """`value` as an int from `low` to `high`, NumPy's integers too; ConfigurationError, with `hint`, for all else."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < low or (high is not None and number > high):
        expected = f"at least {low}" if high is None else f"{low} to {high}"
        raise ConfigurationError(f"{name} is {value!r}, expected an integer of {expected}{hint}.")
    return number
