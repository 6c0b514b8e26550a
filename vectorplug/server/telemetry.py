"""What an operator sees: Prometheus metrics, and one JSON log line a request, without any text of a user."""

import logging
import re
import sys
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectorplug.server.problems import Problem
from vectorplug.server.seen import Seen, current

if TYPE_CHECKING:
    from vectorplug.server.engine import Engine

__all__ = ["EngineCollector", "Metrics", "Telemetry", "configure_logs", "count_problem"]

# A request's id may come from outside: it goes into logs and headers, so only harmless ones are kept.
REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
# Asked every few seconds by whoever watches: only their failures are worth a line.
PROBES = ("/livez", "/readyz", "/health", "/.well-known/ready", "/.well-known/live")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of_route = ("format", "route", "status")
        self.requests = Counter("vectorplug_requests", "Requests answered.", of_route, registry=self.registry)
        self.seconds = Histogram(
            "vectorplug_request_seconds",
            "Time to answer.",
            ("format", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.texts = Counter("vectorplug_texts", "Texts encoded.", ("model",), registry=self.registry)
        self.tokens = Counter("vectorplug_tokens", "Tokens that the model read.", ("model",), registry=self.registry)
        self.truncated = Counter("vectorplug_truncated_tokens", "Tokens cut off.", ("model",), registry=self.registry)
        self.problems = Counter("vectorplug_errors", "Errors answered, by kind.", ("kind",), registry=self.registry)

    def record(self, route: str, status: int, seconds: float, seen: Seen) -> None:
        """One answered request."""
        self.requests.labels(seen.format, route, str(status)).inc()
        self.seconds.labels(seen.format, route).observe(seconds)
        if seen.model is not None and seen.texts:
            self.texts.labels(seen.model).inc(seen.texts)
            self.tokens.labels(seen.model).inc(seen.tokens)
            self.truncated.labels(seen.model).inc(seen.truncated)


class EngineCollector(Collector):
    """Queues, batches and memory, read when Prometheus asks."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def describe(self) -> list[Metric]:
        """Nothing before it is asked for: reading is cheap, and names need not be known ahead."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families of this moment."""
        cache, batchers = self._engine.stats()
        for name, about, values in (
            ("queue_texts", "Texts that wait.", {m: b.queue_texts for m, b in batchers.items()}),
            ("queue_tokens", "Tokens that wait.", {m: b.queue_tokens for m, b in batchers.items()}),
            ("queue_seconds", "Age of the oldest waiting text.", {m: b.queue_seconds for m, b in batchers.items()}),
            ("batch_tokens", "Tokens a batch, lately.", {m: b.tokens_a_batch for m, b in batchers.items()}),
            ("forward_busy", "Share of time in forward passes.", {m: b.forward_busy for m, b in batchers.items()}),
            ("model_bytes", "Bytes on the device.", {m.model: m.device_bytes for m in cache.models}),
            ("model_host_bytes", "Bytes in the host tier.", {m.model: m.host_bytes for m in cache.models}),
        ):
            family = GaugeMetricFamily(f"vectorplug_{name}", about, labels=["model"])
            for model, value in values.items():
                family.add_metric([model], float(value))
            yield family
        batches = CounterMetricFamily("vectorplug_batches", "Forward passes.", labels=["model"])
        for model, stats in batchers.items():
            batches.add_metric([model], stats.batches)
        yield batches
        yield GaugeMetricFamily("vectorplug_memory_budget_bytes", "The model cache's budget.", cache.budget_bytes)
        yield GaugeMetricFamily("vectorplug_memory_used_bytes", "What of it is used.", cache.used_bytes)
        for name, about, count in (
            ("loads", "Models loaded from disk.", cache.loads),
            ("swaps", "Models brought back from the host tier.", cache.swaps),
            ("evictions", "Models moved off the device.", cache.evictions),
            ("load_failures", "Loads that failed.", cache.failures),
        ):
            yield CounterMetricFamily(f"vectorplug_{name}", about, count)


class Telemetry:
    """ASGI middleware: a request id in and out, `//` made `/`, one log line and the metrics of each request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._log = structlog.get_logger("vectorplug.server")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Some clients join a base URL that ends in a slash with a path that begins with one.
        scope["path"] = re.sub("/{2,}", "/", scope["path"])
        offered = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
        request_id = offered if REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status = 499  # the client went away before there was an answer

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        started, seen = time.perf_counter(), Seen()
        token = current.set(seen)
        try:
            await self._app(scope, receive, sent)
        finally:
            current.reset(token)
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "unknown")
            self._metrics.record(route, status, seconds, seen)
            if status >= 300 or route not in PROBES:
                self._log.info(
                    "request",
                    request_id=request_id,
                    method=scope["method"],
                    format=seen.format,
                    route=route,
                    status=status,
                    ms=round(seconds * 1000, 1),
                    model=seen.model,
                    texts=seen.texts,
                    tokens=seen.tokens,
                    truncated=seen.truncated,
                )


def count_problem(request: Request, problem: Problem) -> None:
    """One more error of its kind."""
    request.app.state.metrics.problems.labels(problem.kind).inc()


def configure_logs() -> None:
    """One JSON object a line on stderr, of this server and of the libraries below it."""
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
