"""What a model's name may say beside the model: which of its vectors, and for which role."""

from typing import Literal, NamedTuple, cast, get_args

from vectorplug.encoded import OUTPUTS, Output

__all__ = ["PREFIX", "Role", "Wanted", "parse"]

Role = Literal["query", "document"]

# What clients put before and behind a model's own name: our namespace, and Ollama's tag.
PREFIX = "vectorplug/"
TAG = ":latest"


class Wanted(NamedTuple):
    """What `NAME[:tokens|:fde|:dense][:query|:document]` asks for; None is what the name does not say.

    `model` is what was typed, or where names are looked up what it loads.
    """

    model: str
    output: Output | None
    role: Role | None


def parse(name: str) -> Wanted:
    """The parts of a name; whether there is such a model is another question."""
    model = name.removeprefix(PREFIX).removesuffix(TAG)
    output: Output | None = None
    role: Role | None = None
    rest, _, last = model.rpartition(":")
    if rest and last in get_args(Role):
        model, role = rest, cast(Role, last)
        rest, _, last = model.rpartition(":")
    if rest and last in OUTPUTS:
        model, output = rest, last
    return Wanted(model, output, role)
