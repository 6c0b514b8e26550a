"""What the batcher's threads did and when: the last spans of work, and the rates that follow from them."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

__all__ = ["Span", "Stage", "Trace"]

SPANS = 1_024

Stage = Literal["tokenize", "forward", "finish"]


class Span(NamedTuple):
    """One piece of a stage's work, in seconds of `time.perf_counter`; `tokens` is 0 where they are not known yet."""

    stage: Stage
    started: float
    ended: float
    texts: int
    tokens: int


class Trace:
    """The last 1,024 spans; `forwards` counts the forward passes since the beginning. May be used by any thread."""

    def __init__(self) -> None:
        self.forwards = 0
        self._lock = threading.Lock()
        self._spans: deque[Span] = deque(maxlen=SPANS)

    @contextmanager
    def span(self, stage: Stage, texts: int, tokens: int = 0) -> Iterator[None]:
        """Record the work inside, unless it fails."""
        started = time.perf_counter()
        yield
        with self._lock:
            self._spans.append(Span(stage, started, time.perf_counter(), texts, tokens))
            self.forwards += stage == "forward"

    def spans(self) -> list[Span]:
        """In the order in which they ended."""
        with self._lock:
            return list(self._spans)

    def rates(self) -> tuple[float, float, float]:
        """(tokens a batch, tokens a second of forward pass, busy share) of the forward passes that are held.

        The share is that of the time from the beginning of the first to the end of the last. 0.0 before the first.
        """
        spans = [span for span in self.spans() if span.stage == "forward"]
        if not spans:
            return 0.0, 0.0, 0.0
        tokens, busy = sum(span.tokens for span in spans), sum(span.ended - span.started for span in spans)
        return tokens / len(spans), tokens / busy, busy / (spans[-1].ended - spans[0].started)
