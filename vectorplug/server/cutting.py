"""Cutting texts before they are encoded, where a request says at which end, or how many tokens may stay."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from vectorplug.models.encoder import Encoder
from vectorplug.models.tokenizing import Role
from vectorplug.server.engine import Engine
from vectorplug.server.names import Wanted

__all__ = ["Cut", "cut"]


class Cut(NamedTuple):
    """The texts, and how many tokens those that were cut have lost."""

    texts: list[str]
    dropped: int


async def cut(
    engine: Engine,
    wanted: Wanted,
    texts: Sequence[str],
    role: Role,
    *,
    keep: Literal["start", "end"] = "start",
    tokens: int | None = None,
) -> Cut:
    """The start or the end of each text that the model reads, of at most so many `tokens` without markers.

    Only tokens that have a vector of their own count, and none where the tokenizer does not tell their places. What is
    longer than the model reads is left to the model where the start is kept.
    """
    # No token has less than a byte.
    short = tokens is None or all(len(text.encode()) <= tokens for text in texts)
    if keep == "start" and short:
        return Cut(list(texts), 0)
    return await engine.with_model(wanted, lambda encoder: _cut(encoder, texts, role, keep, None if short else tokens))


def _cut(encoder: Encoder, texts: Sequence[str], role: Role, keep: str, tokens: int | None) -> Cut:
    excess = [text.truncated for text in encoder.tokenize(texts, role)]
    kept = encoder.tails(texts, role) if keep == "end" else list(texts)
    if tokens is not None:
        for i, places in enumerate(encoder.spans(kept, role)):
            told = places[places[:, 0] >= 0]
            if len(told) > tokens:
                excess[i] += len(told) - tokens
                kept[i] = kept[i][told[-tokens, 0] :] if keep == "end" else kept[i][: told[tokens - 1, 1]]
    changed = (more for more, before, after in zip(excess, texts, kept, strict=True) if before != after)
    return Cut(kept, sum(changed))
