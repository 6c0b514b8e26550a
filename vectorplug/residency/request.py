"""One request in the batcher: its texts, the place where their vectors are gathered, and its future."""

import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from vectorplug.encoded import OUTPUTS, Encoded, Output
from vectorplug.errors import ConfigurationError, InputError, TooLongError
from vectorplug.models.tokenizing import Role, TokenizedText
from vectorplug.multivectors import MultiVectors
from vectorplug.texts import check_texts

__all__ = ["Request", "Vectors"]


class Vectors(NamedTuple):
    """Of one text: `tokens` [t, token_dim], `fde` [F] and `dense` [D] where asked for; its tokens cut off and read."""

    tokens: npt.NDArray[Any] | None
    fde: npt.NDArray[Any] | None
    dense: npt.NDArray[Any] | None
    truncated: int
    token_count: int


class Request(Future[Encoded]):
    """The future of n texts; `texts` holds each different one once, and an empty one where n is 0.

    It can be cancelled until its last vector is there. `arrival` numbers the requests; `settled`, which the batcher's
    lock guards, says that the outcome is decided and nothing of this request need run any more. InputError names the
    text that no tokenizer takes; ConfigurationError for a wrong role or output.
    Without `truncate` a text that is too long fails it, and so do more than `max_tokens` tokens of all texts.
    """

    def __init__(
        self,
        texts: Sequence[str],
        role: Role,
        outputs: Sequence[Output],
        *,
        truncate: bool = True,
        max_tokens: int | None = None,
    ) -> None:
        super().__init__()
        check_texts(texts)
        if role not in get_args(Role):
            raise ConfigurationError(f"role is {role!r}, expected one of {', '.join(get_args(Role))}.")
        if not outputs or isinstance(outputs, str) or not set(outputs) <= set(OUTPUTS):
            raise ConfigurationError(f"outputs is {outputs!r}, expected a sequence of {', '.join(OUTPUTS)}.")
        # A request of no text runs an empty one: the shapes of its result are the model's.
        slot_of = {text: slot for slot, text in enumerate(dict.fromkeys(texts or [""]))}
        self.texts = list(slot_of)
        self.role: Role = role
        self.outputs = frozenset(outputs)
        self.arrival = -1
        self.settled = False
        self.submitted = time.monotonic()
        self._truncate = truncate
        self._max_tokens = max_tokens
        self._tokens = 0
        self._slots = [slot_of[text] for text in texts]
        self._vectors: dict[int, Vectors] = {}

    def refusal(self, text: TokenizedText) -> InputError | None:
        """Count a tokenized text of this request; the error, where it or all of them are too long."""
        self._tokens += len(text)
        if text.truncated and not self._truncate:
            tokens, limit = len(text) + text.truncated, len(text)
            return TooLongError(
                f"a text has {tokens} tokens and the model reads {limit}: shorten it, or allow it to be cut.",
                tokens=tokens,
                limit=limit,
            )
        if self._max_tokens is not None and self._tokens > self._max_tokens:
            return InputError(
                f"the texts hold more than {self._max_tokens:,} tokens, which is the limit of one request: "
                "send them in several."
            )
        return None

    def put(self, slot: int, vectors: Vectors) -> bool:
        """Keep the vectors of `texts[slot]`; True for the last that was missing."""
        self._vectors[slot] = vectors
        return len(self._vectors) == len(self.texts)

    def position(self, slot: int) -> int:
        """Where `texts[slot]` stands in the caller's list, the first time; 0 where there is no text."""
        return self._slots.index(slot) if self._slots else 0

    def discard(self) -> None:
        """Let go of the vectors: nobody will ask for them."""
        self._vectors = {}

    def assemble(self) -> Encoded:
        """Encoded of n in the caller's order; InputError where a vector is not finite."""
        held, self._vectors = self._vectors, {}
        tokens: list[Any] = [held[slot].tokens for slot in self._slots]
        # Stacked before they are ordered: so a request of no text has vectors of the right size, too.
        fde: list[Any] = [held[slot].fde for slot in range(len(held))]
        dense: list[Any] = [held[slot].dense for slot in range(len(held))]
        dim = held[0].tokens
        return Encoded(
            tokens=None if dim is None else MultiVectors.from_list(tokens, dim=dim.shape[1]),
            fde=np.stack(fde)[self._order()] if "fde" in self.outputs else None,
            dense=np.stack(dense)[self._order()] if "dense" in self.outputs else None,
            truncated=np.array([held[slot].truncated for slot in self._slots], np.int64),
            token_counts=np.array([held[slot].token_count for slot in self._slots], np.int64),
        )

    def _order(self) -> npt.NDArray[np.int64]:
        return np.array(self._slots, np.int64)
