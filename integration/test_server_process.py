"""The server as a process: how it starts, how it stops under load, and thousands of bodies that nobody should send."""

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from serve_process import ServeProcess, serve_process

# Ten thousand take a minute or more; they were sent before a release.
MALFORMED = int(os.environ.get("VECTORPLUG_TEST_MALFORMED", "500"))
WARM_UP = 200
CLIENTS = 8
# What so many refusals may leave behind: allocators keep some of what they got.
GROWTH = 64 << 20
DEADLINE = 60


def test_it_refuses_to_let_everybody_in(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vectorplug.cli", "serve", "--model", "minilm", "--host", "0.0.0.0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, cwd=tmp_path, check=False)
    assert ended.returncode == 1
    assert "0.0.0.0" in ended.stderr
    assert "--api-key" in ended.stderr


def test_sigterm_under_load_finishes_what_was_accepted(tmp_path: Path) -> None:
    texts = [f"number {i} of some words that take a moment to be read by the model" for i in range(500)]
    roomy = {"VECTORPLUG_QUEUE_TOKENS": "10000000", "VECTORPLUG_DRAIN_TIMEOUT": "120"}
    with serve_process(tmp_path / "log", "--model", "minilm", **roomy) as server, ThreadPoolExecutor(4) as pool:
        body = {"model": "minilm", "input": texts}
        asked = [pool.submit(httpx.post, server.url + "/v1/embeddings", json=body, timeout=120) for _ in range(4)]
        until = time.monotonic() + DEADLINE
        while _queue(server) <= 1500:  # three of the four would not fill it so
            assert time.monotonic() < until
        server.process.send_signal(signal.SIGTERM)
        answers = [answer.result() for answer in asked]
        assert [answer.status_code for answer in answers] == [200] * 4
        assert {len(answer.json()["data"]) for answer in answers} == {500}
        assert server.process.wait(DEADLINE) == 0
        with pytest.raises(httpx.TransportError):
            httpx.get(server.url + "/livez")


def test_what_the_drain_has_no_time_for_is_told_to_go_elsewhere(tmp_path: Path) -> None:
    hurried = {"VECTORPLUG_QUEUE_TOKENS": "10000000", "VECTORPLUG_DRAIN_TIMEOUT": "1"}
    texts = [f"number {i} " * 40 for i in range(2000)]
    with serve_process(tmp_path / "log", "--model", "minilm", **hurried) as server, ThreadPoolExecutor(4) as pool:
        body = {"model": "minilm", "input": texts}
        asked = [pool.submit(httpx.post, server.url + "/v1/embeddings", json=body, timeout=120) for _ in range(4)]
        until = time.monotonic() + DEADLINE
        while _queue(server) < 4000:
            assert time.monotonic() < until
        server.process.send_signal(signal.SIGTERM)
        answers = [answer.result() for answer in asked]
        assert {answer.status_code for answer in answers} == {503}
        assert "stopping" in answers[0].json()["message"]
        assert server.process.wait(DEADLINE) == 0
        assert "Traceback" not in server.log.read_text()


def _queue(server: ServeProcess) -> float:
    lines = httpx.get(server.url + "/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vectorplug_queue_texts{"))


def test_malformed_bodies_cost_nothing_but_an_answer(tmp_path: Path) -> None:
    with serve_process(tmp_path / "log", "--model", "minilm") as server:
        paths = [
            path
            for path, methods in httpx.get(server.url + "/openapi.json").json()["paths"].items()
            if "post" in methods and "{" not in path
        ]
        assert len(paths) > 10
        good = _good(server)
        _send(server, paths, range(WARM_UP))
        before = server.resident_bytes()
        statuses = _send(server, paths, range(WARM_UP, WARM_UP + MALFORMED))
        grown = server.resident_bytes() - before
        assert sum(statuses.values()) == MALFORMED
        assert not [status for status in statuses if status >= 500], statuses
        assert grown < GROWTH, f"{grown:,} bytes more after {MALFORMED} bodies"
        assert _good(server) == good


def test_no_request_that_the_openapi_document_allows_is_an_error_of_the_server(tmp_path: Path) -> None:
    with serve_process(tmp_path / "log", "--model", "minilm") as server:
        command = [sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json", "--max-examples", "1"]
        options = ["--checks", "not_a_server_error", "--exclude-path-regex", "/readyz|pull|/(load|unload|pin|unpin)$"]
        ended = subprocess.run(
            [*command, *options, "--seed", "1", "--no-color"],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            cwd=tmp_path,
        )
        assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-2000:]
        assert _good(server)


def _good(server: ServeProcess) -> Any:
    answer = httpx.post(server.url + "/v1/embeddings", json={"model": "minilm", "input": "a cat"}, timeout=DEADLINE)
    assert answer.status_code == 200
    return answer.json()["data"]


def _send(server: ServeProcess, paths: list[str], seeds: range) -> Counter[int]:
    """The statuses of one malformed body for each seed, over a few connections at once."""

    def some(own: range) -> Counter[int]:
        found: Counter[int] = Counter()
        with httpx.Client(base_url=server.url, timeout=DEADLINE) as client:
            for seed in own:
                chance = random.Random(seed)
                content, headers = malformed(chance)
                found[client.post(chance.choice(paths), content=content, headers=headers).status_code] += 1
        return found

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(some, [seeds[i::CLIENTS] for i in range(CLIENTS)]), Counter())


FIELDS = (
    "input",
    "texts",
    "inputs",
    "query",
    "documents",
    "model",
    "dimensions",
    "text",
    "config",
    "vectors",
    "passages",
)
ODD: tuple[Callable[[random.Random], Any], ...] = (
    lambda _: None,
    lambda _: True,
    lambda _: -1,
    lambda _: 10**30,
    lambda _: 1e308,
    lambda _: {},
    lambda _: [],
    lambda _: [[]],
    lambda _: [None],
    lambda _: {"a": {"b": [1, "2", None]}},
    lambda chance: [chance.random()] * 50,
    lambda _: "\0",
    lambda _: "x" * 10_000,
    lambda _: ["x"] * 5000,
    lambda _: "minilm",
    lambda _: "minilm:tokens:nothing",
    lambda _: "../../etc/passwd",
)


def malformed(chance: random.Random) -> tuple[bytes, dict[str, str]]:
    """A body that breaks some rule, and its headers; hardly ever one that happens to be good."""
    body = {name: chance.choice(ODD)(chance) for name in chance.sample(FIELDS, chance.randrange(1, 6))}
    text = json.dumps(body)
    content = chance.choice(BREAKS)(chance, text)
    kind = chance.choice(("application/json",) * 8 + ("text/plain", "application/msgpack", "multipart/form-data"))
    headers = {"content-type": kind}
    if chance.random() < 0.05:
        headers["content-encoding"] = chance.choice(("gzip", "br", "deflate"))
    return content, headers


BREAKS: tuple[Callable[[random.Random, str], bytes], ...] = (
    lambda _, text: text.encode(),
    lambda chance, text: text.encode()[: chance.randrange(len(text))],
    lambda _, text: text.encode("utf-16"),
    lambda _, text: text.replace("x", "\xff").encode("latin-1"),
    lambda _, text: text.replace('"', '"\\ud800', 1).encode(),
    lambda chance, _: b"[" * chance.choice((10, 1000, 100_000)),
    lambda _, __: b'{"input":' * 5000 + b"1" + b"}" * 5000,
    lambda _, __: b'{"model":"minilm","input":' + b"9" * 5000 + b"}",
    lambda _, __: b'{"model":"minilm","input":NaN}',
    lambda _, __: b'{"model":"minilm","input":["a"],"dimensions":1e400}',
    lambda _, __: gzip.compress(b"0" * 1_000_000),
    lambda chance, _: chance.randbytes(200),
    lambda _, __: b"",
)
