"""What keeps a server alive among strangers: limits, keys, time-outs, clients that leave, models that load slowly."""

import base64
import io
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from serving import Running, serving

from vectorplug.models.encoder import Encoder
from vectorplug.residency.cache import ModelCache
from vectorplug.residency.loader import EncoderLoader

EMBEDDINGS = "/openai/v1/embeddings"
DEADLINE = 30


def ask(server: Running, text: Any = "a cat", *, model: str = "tiny", **options: Any) -> httpx.Response:
    return httpx.post(server.url + EMBEDDINGS, json={"model": model, "input": text}, timeout=DEADLINE, **options)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waiting(server: Running) -> int:
    """Texts in the queues of the server."""
    _, batchers = server.app.state.engine.stats()
    return sum(stats.queue_texts for stats in batchers.values())


class Gate:
    """Forward passes that wait until the test lets them through."""

    def __init__(self, encoder: Encoder) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self._run = encoder.forward_once
        encoder.forward_by(self._forward)

    def _forward(self, texts: Any) -> Any:
        self.reached.set()
        assert self.open.wait(DEADLINE)
        return self._run(texts)


@pytest.fixture
def gated(tiny_model: Path) -> Iterator[Callable[..., Any]]:
    """A server whose model's forward passes stand still: (server, gate) by its limits."""
    with ExitStackOfServers(tiny_model) as servers:
        yield servers.start


class ExitStackOfServers:
    """Servers with a gate each; at the end the gates are opened before the servers stop."""

    def __init__(self, model: Path) -> None:
        self._model = str(model)
        self._undo: list[Callable[[], Any]] = []

    def start(self, **limits: Any) -> tuple[Running, Gate]:
        cache = ModelCache(device="cpu", dtype="float32")
        block = serving({"tiny": self._model}, cache=cache, **limits)
        server = block.__enter__()
        with cache.lease(self._model) as encoder:
            gate = Gate(encoder)
        self._undo += [lambda: block.__exit__(None, None, None), gate.open.set]
        return server, gate

    def __enter__(self) -> "ExitStackOfServers":
        return self

    def __exit__(self, *_: object) -> None:
        for undo in reversed(self._undo):
            undo()


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(tiny_model: Path) -> None:
    with serving({"tiny": str(tiny_model)}, body_bytes=1000) as server:
        large = json.dumps({"model": "tiny", "input": "x" * 2000}).encode()
        head = {"content-type": "application/json"}
        announced = httpx.post(server.url + EMBEDDINGS, content=large, headers=head)
        streamed = httpx.post(server.url + EMBEDDINGS, content=iter([large[:900], large[900:]]), headers=head)
        for refused in (announced, streamed):
            assert refused.status_code == 413
            assert "larger than the 1,000 bytes" in refused.json()["error"]["message"]
        assert ask(server).status_code == 200


def test_more_texts_or_tokens_than_a_request_may_hold_are_refused(tiny_model: Path) -> None:
    with serving({"tiny": str(tiny_model)}, texts=3, request_tokens=40) as server:
        assert ask(server, ["a"] * 3).status_code == 200
        many = ask(server, ["a"] * 4)
        assert (many.status_code, "4 texts" in many.text) == (400, True)
        long = ask(server, ["a b c d e f g h i j k l m n o p q r s t", "t s r q p o n m l k j i h g f e d c b a"])
        assert (long.status_code, "more than 40 tokens" in long.text) == (400, True)


def test_a_full_queue_turns_requests_away_until_there_is_room(gated: Callable[..., Any]) -> None:
    server, gate = gated(queue_tokens=10)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(ask, server)
        assert gate.reached.wait(DEADLINE)
        # The forward pass holds the first. What comes now waits, until there is too much of it.
        held = pool.submit(ask, server, "a b c d e f g h i j k l m n o p q r s t")
        until(lambda: waiting(server) == 1)
        refused = ask(server, "one too many")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["error"]["type"] == "rate_limit_exceeded"
        gate.open.set()
        assert first.result().status_code == 200
        assert held.result().status_code == 200
        assert ask(server).status_code == 200


def test_a_request_that_takes_too_long_is_ended_and_its_work_with_it(gated: Callable[..., Any]) -> None:
    server, gate = gated(request_timeout=0.5)
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(ask, server, "the one in the forward pass")
        assert gate.reached.wait(DEADLINE)
        late = ask(server, "the one that waits")
        assert late.status_code == 504
        assert running.result().status_code == 504
        until(lambda: waiting(server) == 0)
        gate.open.set()
        assert ask(server).status_code == 200


def test_a_client_that_leaves_frees_its_place(gated: Callable[..., Any]) -> None:
    server, gate = gated()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, server)
        assert gate.reached.wait(DEADLINE)
        body = json.dumps({"model": "tiny", "input": ["a b c", "d e f"]}).encode()
        with socket.create_connection(("127.0.0.1", server.port)) as leaving:
            leaving.sendall(
                f"POST {EMBEDDINGS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            until(lambda: waiting(server) == 2)
        until(lambda: waiting(server) == 0)
        gate.open.set()
        assert running.result().status_code == 200


def test_the_event_loop_answers_while_a_model_loads(tiny_model: Path) -> None:
    loader = SlowLoader(device="cpu", dtype="float32")
    cache = ModelCache(loader=loader)
    with serving({"tiny": str(tiny_model)}, cache=cache, wait=False) as server, ThreadPoolExecutor(1) as pool:
        assert loader.reached.wait(DEADLINE)
        cold = pool.submit(ask, server)
        try:
            assert httpx.get(server.url + "/livez").status_code == 200
            not_ready = httpx.get(server.url + "/readyz")
            assert (not_ready.status_code, not_ready.json()["reason"]) == (503, "starting")
            assert b"vectorplug_queue_tokens" in httpx.get(server.url + "/metrics").content
            assert not cold.done()
        finally:
            loader.go_on.set()
        assert cold.result().status_code == 200
        until(lambda: httpx.get(server.url + "/readyz").status_code == 200)


class SlowLoader(EncoderLoader):
    """A disk that waits for the test."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.reached, self.go_on = threading.Event(), threading.Event()

    def load(self, name: str) -> Encoder:
        self.reached.set()
        assert self.go_on.wait(DEADLINE)
        return super().load(name)


def test_ranking_with_a_loaded_model_does_not_wait_for_loads_of_others(tiny_model: Path, tmp_path: Path) -> None:
    cold = {f"cold-{i}": str(shutil.copytree(tiny_model, tmp_path / f"cold-{i}")) for i in range(40)}
    loader = SlowLoader(device="cpu", dtype="float32")
    loader.go_on.set()
    with (
        ThreadPoolExecutor(len(cold)) as pool,
        serving({"tiny": str(tiny_model), **cold}, cache=ModelCache(loader=loader)) as server,
    ):
        loader.reached.clear()
        loader.go_on.clear()
        try:
            loads = [pool.submit(ask, server, model=name) for name in cold]
            assert loader.reached.wait(DEADLINE)
            until(lambda: len(server.app.state.engine._served) == 1 + len(cold))
            body = {"model": "tiny", "query": "a cat", "documents": ["a dog", "a cat"]}
            ranked = httpx.post(server.url + "/v1/rerank", json=body, timeout=DEADLINE)
            assert ranked.json()["results"][0]["index"] == 1
            assert not any(load.done() for load in loads)
        finally:
            loader.go_on.set()
        assert {load.result().status_code for load in loads} == {200}


def test_a_model_that_cannot_be_loaded_is_unavailable_and_named(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    models = {"tiny": str(tiny_model), "broken": str(tmp_path / "broken")}
    with serving(models) as server:
        refused = ask(server, model="broken")
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "broken" in refused.json()["error"]["message"]
        assert ask(server).status_code == 200


@pytest.mark.parametrize("name", ["{folder}", "../tiny", "org/model", "org/model@main", "package:numpy", "colbertv2"])
def test_a_name_in_a_request_is_neither_a_path_nor_a_download(
    tiny_model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loads(*_: Any, **__: Any) -> None:
        raise AssertionError("something was loaded")

    with serving({"tiny": str(tiny_model)}) as server:
        monkeypatch.setattr(EncoderLoader, "load", loads)
        refused = ask(server, model=name.format(folder=tiny_model))
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


def test_a_model_of_the_catalogue_that_is_not_here_says_how_to_get_it(tiny_model: Path) -> None:
    with serving({"tiny": str(tiny_model)}) as server:
        assert "vectorplug models pull colbertv2" in ask(server, model="colbertv2").text


def test_every_place_where_a_client_may_put_its_key(tiny_model: Path) -> None:
    basic = base64.b64encode(b"anybody:right").decode()
    with serving({"tiny": str(tiny_model)}, keys=("right",)) as server:
        for headers in (
            {"authorization": "Bearer right"},
            {"authorization": f"Basic {basic}"},
            {"x-api-key": "right"},
            {"vectorplug-api-key": "right"},
        ):
            assert ask(server, headers=headers).status_code == 200
            assert httpx.get(server.url + "/metrics", headers=headers).status_code == 200
        for wrong in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": "Bearer right2"},
            {"authorization": "Basic ###"},
            {"authorization": "right"},
            {"x-key": "right"},
        ):
            assert ask(server, headers=wrong).status_code == 401
            assert httpx.get(server.url + "/metrics", headers=wrong).status_code == 401
        assert httpx.get(server.url + "/livez").status_code == 200
        assert httpx.get(server.url + "/readyz").status_code == 200


def test_logs_and_metrics_hold_no_text_of_users(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    with structlog.testing.capture_logs() as lines, serving({"tiny": str(tiny_model)}) as server:
        monkeypatch.setattr("sys.stderr", log)
        assert ask(server, "xyzzy is secret").status_code == 200
        assert ask(server, ["xyzzy is secret", ""]).status_code == 400
        assert ask(server, "xyzzy " * 5000).status_code == 400
        assert httpx.get(server.url + "/livez").status_code == 200
        metrics = httpx.get(server.url + "/metrics").text
    asked = [line for line in lines if line.get("route") == "/v1/embeddings"]
    assert [line["status"] for line in asked] == [200, 400, 400]
    assert not [line for line in lines if line.get("route") == "/livez"]
    assert asked[0]["texts"] == 1
    assert asked[0]["tokens"] > 2
    assert all(line["request_id"] for line in asked)
    assert "xyzzy" not in str(lines) + metrics + log.getvalue()
    assert 'vectorplug_errors_total{kind="empty"} 1.0' in metrics
    assert 'vectorplug_requests_total{format="openai",route="/v1/embeddings",status="200"} 1.0' in metrics


@pytest.mark.parametrize(("sent", "kept"), [("abc-1", True), ("a" * 65, False), ('x"y', False), ("", False)])
def test_a_request_id_comes_back_unless_it_could_do_harm(server: Running, sent: str, kept: bool) -> None:
    found = httpx.get(server.url + "/livez", headers={"x-request-id": sent}).headers["x-request-id"]
    assert (found == sent) == kept
    assert found


def test_double_slashes_are_one(server: Running) -> None:
    assert httpx.get(server.url + "//openai//v1/models").status_code == 200


def test_compressed_bodies_are_not_read(server: Running) -> None:
    refused = httpx.post(server.url + EMBEDDINGS, content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert refused.status_code == 415


def test_unknown_paths_and_methods_answer_in_a_shape_that_every_sdk_reads(server: Running) -> None:
    for answer, status in (
        (httpx.get(server.url + "/v9/nothing"), 404),
        (httpx.delete(server.url + "/openai/v1/embeddings"), 405),
    ):
        assert answer.status_code == status
        body = answer.json()
        assert body["detail"] == body["message"] == body["error"]["message"]


def test_json_is_read_without_a_content_type(server: Running) -> None:
    # Weaviate's clients for containers and for Ollama send none.
    text = json.dumps({"text": "a cat", "config": {}})
    found = httpx.post(server.url + "/vectors", content=text, headers={"content-type": ""})
    assert found.status_code == 200
    assert found.json()["dims"] == 384
