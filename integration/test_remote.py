"""The remote vectorizer against our server, and against servers that fail in every way."""

import http.server
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stamina
import stamina.instrumentation
from serving import Running, serving

from vectorplug import Lemur, MultiVectors, Muvera, Vectorizer, errors, open_store
from vectorplug.blobs import arrays_of, dump
from vectorplug.encoded import Encoded
from vectorplug.remote import ATTEMPTS, CHARACTERS_A_REQUEST, TEXTS_A_REQUEST, RemoteVectorizer
from vectorplug.residency.cache import ModelCache
from vectorplug.residency.loader import EncoderLoader
from vectorplug.search.text_vectorizer import TextVectorizer

TEXTS = ["a cat sat on the mat", "Überlandflug über Köln", "x", "a cat sat on the mat"]


@pytest.fixture
def remote(server: Running) -> Iterator[RemoteVectorizer]:
    with Vectorizer.remote(server.url) as remote:
        yield remote


def assert_same(found: Encoded, expected: Encoded) -> None:
    assert dict(found.vectors()).keys() == dict(expected.vectors()).keys()
    if found.tokens is not None and expected.tokens is not None:
        assert found.tokens.dtype == expected.tokens.dtype
        assert found.tokens.offsets.tolist() == expected.tokens.offsets.tolist()
        one, other = (tokens.astype("float32").values for tokens in (found.tokens, expected.tokens))
        np.testing.assert_allclose(one, other, atol=1e-5 if found.tokens.dtype == np.float32 else 1e-2)
    for name in ("fde", "dense"):
        if getattr(expected, name) is not None:
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-4)
    for name in ("truncated", "token_counts"):
        assert getattr(found, name).tolist() == getattr(expected, name).tolist()


# As the local one.


def test_it_says_of_itself_what_the_local_one_says(remote: RemoteVectorizer, minilm: Vectorizer) -> None:
    assert (remote.model, remote.fingerprint, dict(remote.dims)) == (minilm.model, minilm.fingerprint, minilm.dims)
    assert remote.fde == minilm.fde
    assert "127.0.0.1" in repr(remote)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"outputs": ["dense"]},
        {"outputs": ("fde", "tokens"), "token_dtype": "float16"},
        {"token_dtype": "int8", "dimensions": 64, "pool_factor": 2},
        {"outputs": ["tokens"], "token_dtype": "bfloat16"},
        {"show_progress_bar": True},
    ],
)
def test_documents_are_those_of_the_local_one(
    remote: RemoteVectorizer, minilm: Vectorizer, options: dict[str, Any]
) -> None:
    assert_same(remote.encode_document(TEXTS, **options), minilm.encode_document(TEXTS, **options))


@pytest.mark.parametrize("options", [{}, {"outputs": ["fde"]}, {"dimensions": 32, "token_dtype": "int8"}])
def test_queries_are_those_of_the_local_one(server: Running, tiny_model: Path, options: dict[str, Any]) -> None:
    local = Vectorizer(str(tiny_model), device="cpu", dtype="float32")
    options = {**options, "dimensions": 4} if "dimensions" in options else options
    with Vectorizer.remote(server.url, "tiny-colbert") as remote:
        assert remote.model == "tiny-colbert"
        assert_same(remote.encode_query("the sea", **options), local.encode_query("the sea", **options))


def test_no_text_and_one_text(remote: RemoteVectorizer, minilm: Vectorizer) -> None:
    assert_same(remote.encode_document([]), minilm.encode_document([]))
    assert_same(remote.encode_document("x"), minilm.encode_document(["x"]))


class Mean:
    """A compressor that no server knows."""

    dim, size, fingerprint = 384, 384, "mean"

    def encode_documents(self, tokens: MultiVectors) -> Any:
        return np.stack([document.mean(axis=0) for document in tokens])

    def encode_queries(self, tokens: MultiVectors) -> Any:
        return np.stack([query.sum(axis=0) for query in tokens])


def small_lemur() -> Lemur:
    rng = np.random.default_rng(0)
    tokens = MultiVectors.from_list([rng.standard_normal((5, 384), np.float32) for _ in range(20)])
    return Lemur(dim=384, size=8, features=32, samples=64).fit(tokens)


def test_with_another_fde_the_connections_stay(server: Running) -> None:
    lemur = small_lemur()
    remote = Vectorizer.remote(server.url).with_fde(lemur)  # the first one is gone by now
    local = Vectorizer("minilm", fde=lemur, device="cpu", dtype="float32")
    assert_same(remote.encode_document(TEXTS, outputs=["fde"]), local.encode_document(TEXTS, outputs=["fde"]))
    with pytest.raises(errors.ConfigurationError, match="made for tokens of 16 numbers"):
        remote.with_fde(Lemur(dim=16))
    remote.close()


@pytest.mark.parametrize("fde", [Muvera.preset("weaviate", dim=384), Mean(), small_lemur(), None])
@pytest.mark.parametrize("options", [{}, {"dimensions": 64, "pool_factor": 2, "token_dtype": "float16"}])
def test_any_fde_is_the_local_one(server: Running, fde: Any, options: dict[str, Any]) -> None:
    local = Vectorizer("minilm", fde=fde, device="cpu", dtype="float32")
    with Vectorizer.remote(server.url, fde=fde) as remote:
        assert (remote.dims, remote.fde) == (local.dims, fde)
        assert_same(remote.encode_document(TEXTS, **options), local.encode_document(TEXTS, **options))
        assert_same(remote.encode_query(TEXTS), local.encode_query(TEXTS))
        if fde is not None:
            assert_same(remote.encode_query(TEXTS, outputs=["fde"]), local.encode_query(TEXTS, outputs=["fde"]))


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda v: v.encode_document(["a", 3]), errors.InputError),
        (lambda v: v.encode_document(["a", "\ud800"]), errors.InputError),
        (lambda v: v.encode_document("a", dimensions=999), errors.ConfigurationError),
        (lambda v: v.encode_document("a", pool_factor=0.1), errors.ConfigurationError),
        (lambda v: v.encode_document("a", outputs=["sparse"]), errors.ConfigurationError),
        (lambda v: v.encode_document("a", outputs=[]), errors.ConfigurationError),
        (lambda v: v.encode_document("a", token_dtype="int4"), errors.InputError),
    ],
)
def test_a_wrong_call_is_the_same_error(
    remote: RemoteVectorizer, minilm: Vectorizer, call: Callable[[Any], Any], kind: type[Exception]
) -> None:
    for vectorizer in (remote, minilm):
        with pytest.raises(kind) as caught:
            call(vectorizer)
        if kind is errors.InputError and not isinstance(getattr(caught.value, "index", None), int):
            assert "int4" in str(caught.value) or "float16" in str(caught.value)


def test_what_a_server_does_not_do_is_said(remote: RemoteVectorizer, server: Running) -> None:
    with pytest.raises(errors.ConfigurationError, match="the server makes its batches"):
        remote.encode_document("x", batch_tokens=100)
    with pytest.raises(errors.ConfigurationError, match="made with fde=None"):
        Vectorizer.remote(server.url, fde=None).encode_query("x", outputs=["fde"])
    with pytest.raises(errors.ConfigurationError, match="use dim=384"):
        Vectorizer.remote(server.url, fde=Muvera(dim=128))
    with pytest.raises(errors.InputError, match="the model's name asks for tokens"):
        Vectorizer.remote(server.url, "minilm:tokens")


def test_a_long_list_goes_in_many_requests_and_keeps_its_order(server: Running, minilm: Vectorizer) -> None:
    texts = [f"number {i} of the wind and the sea" for i in range(3 * TEXTS_A_REQUEST + 5)]
    texts[7] = "flour " * (CHARACTERS_A_REQUEST // 4)
    with Vectorizer.remote(server.url) as remote:
        sizes: list[int] = []
        remote._client.event_hooks["request"] = [lambda r: sizes.append(len(json.loads(r.content)["input"]))]
        found = remote.encode_document(texts, outputs=["dense"])
    assert sorted(sizes) == [1, 7, 61, 64, 64]
    assert_same(found, minilm.encode_document(texts, outputs=["dense"]))


def test_a_server_that_takes_few_texts_gets_few(tiny_model: Path) -> None:
    with serving({"tiny": str(tiny_model)}, texts=3) as running, Vectorizer.remote(running.url) as remote:
        assert len(remote.encode_document(["the sea"] * 10)) == 10


def test_several_threads_share_it(remote: RemoteVectorizer, minilm: Vectorizer) -> None:
    texts = [[f"number {i}", f"of {i}"] for i in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(remote.encode_document, texts))
    for one, batch in zip(found, texts, strict=True):
        np.testing.assert_allclose(one.dense, minilm.encode_document(batch).dense, atol=1e-5)  # type: ignore[arg-type]


def test_a_store_takes_it_for_a_vectorizer(remote: RemoteVectorizer, minilm: Vectorizer) -> None:
    texts = [f"{what} is {how}" for what in ("bread", "the sea", "a ship") for how in ("warm", "salty", "far away")]
    hits = []
    for vectorizer in (remote, minilm):
        with open_store("memory:", vectorizer=vectorizer, mode="fde+rerank") as store:
            assert store.add(texts, ids=list(range(9))).added == 9
            assert store.info is not None
            hits.append((store.info.fingerprint, store.search("salt water", limit=5)))
    (one, found), (other, expected) = hits
    assert one == other
    assert [hit.id for hit in found] == [hit.id for hit in expected]
    np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-4)


def test_a_client_machine_needs_no_torch(server: Running) -> None:
    code = f"""
import sys
from vectorplug import Vectorizer, open_store
remote = Vectorizer.remote({server.url!r})
remote.encode_query("x", dimensions=64, token_dtype="int8")
with open_store("memory:", vectorizer=remote) as store:
    store.add(["a", "b"])
    assert len(store.search("a")) == 2
print([name for name in ("torch", "transformers", "sentence_transformers") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


# What a server refuses.


def test_a_key_is_sent(tiny_model: Path) -> None:
    with serving({"tiny": str(tiny_model)}, keys=("secret",)) as closed:
        assert len(Vectorizer.remote(closed.url, api_key="secret").encode_query("the sea")) == 1
        in_url = Vectorizer.remote(closed.url.replace("//", "//any:secret@"))
        assert len(in_url.encode_query("the sea")) == 1
        assert "secret" not in repr(in_url)
        for key in (None, "wrong"):
            with pytest.raises(errors.ConfigurationError, match="no valid key"):
                Vectorizer.remote(closed.url, api_key=key)


@pytest.mark.parametrize("key", ["two\nlines", "Schlüssel", " "])
def test_a_key_that_is_no_header_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="api_key") as caught:
        Vectorizer.remote("http://127.0.0.1:1", api_key=key)
    assert key not in str(caught.value) or not key.strip()


def test_a_model_that_is_not_served_is_named_with_its_neighbours(server: Running) -> None:
    with pytest.raises(errors.ModelNotFoundError, match=r"'minilmm' is not served here\. Did you mean minilm"):
        Vectorizer.remote(server.url, "minilmm")


def test_a_model_that_cannot_be_loaded_is_the_servers_error(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "broken").mkdir()
    with serving({"tiny": str(tiny_model), "broken": str(tmp_path / "broken")}) as running:
        with pytest.raises(errors.ModelLoadError) as local:
            Vectorizer(str(tmp_path / "broken"))
        with pytest.raises(errors.ModelLoadError) as caught:
            Vectorizer.remote(running.url, "broken")
        assert type(caught.value) is type(local.value)


def test_too_many_tokens_are_an_input_error(tiny_model: Path) -> None:
    with serving({"tiny": str(tiny_model)}, request_tokens=20) as running:
        remote = Vectorizer.remote(running.url)
        with pytest.raises(errors.InputError, match="more than 20 tokens"):
            remote.encode_document([f"the sea {i}" for i in range(20)])


def test_an_overloaded_server_says_when_to_come_back(tiny_model: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    class Slow(EncoderLoader):
        def load(self, name: str) -> Any:
            encoder = super().load(name)
            forward = encoder.forward_once

            def held(texts: Any) -> Any:
                if any("slowly" in text.text for text in texts):
                    entered.set()
                    assert go_on.wait(60)
                return forward(texts)

            encoder.forward_once = held  # type: ignore[method-assign]
            return encoder

    cache = ModelCache(loader=Slow(device="cpu", dtype="float32"))
    with serving({"tiny": str(tiny_model)}, cache=cache, queue_tokens=1) as running, ThreadPoolExecutor(2) as pool:
        remote = Vectorizer.remote(running.url)
        running_one = pool.submit(remote.encode_document, "slowly")
        assert entered.wait(60)
        waiting = pool.submit(remote.encode_document, "the sea")
        # Its tokens are exact once it is tokenized and stays in the queue; before, a text counts above a hundred.
        while not any(0 < stats.queue_tokens < 50 for stats in running.app.state.engine.stats()[1].values()):
            assert not waiting.done()
            time.sleep(0.01)
        with pytest.raises(errors.OverloadedError, match="try again later") as caught:
            remote.encode_document("the wind")
        assert caught.value.retry_after > 0
        go_on.set()
        assert len(running_one.result(60)) == len(waiting.result(60)) == 1
        assert len(remote.encode_document("the wind")) == 1


# Servers that fail. A script answers one request after the other; None hangs up without an answer.

Answer = tuple[int, dict[str, str], bytes]
FACTS = {"model": "m", "fingerprint": "m@1"}


def told(status: int, error: Any, headers: dict[str, str] | None = None) -> Answer:
    return status, headers or {}, json.dumps(error).encode()


def blob(fingerprint: str = "m@1", texts: int = 0) -> Answer:
    encoded = Encoded(
        tokens=MultiVectors.from_list([np.ones((1, 4), np.float32)] * texts, dim=4),
        dense=np.ones((texts, 4), np.float32),
        truncated=np.zeros(texts, np.int64),
        token_counts=np.ones(texts, np.int64),
    )
    content = dump(arrays_of(encoded), {**FACTS, "fingerprint": fingerprint})
    return 200, {"content-type": "application/vnd.safetensors"}, content


@contextmanager
def scripted(*answers: Answer | None) -> Iterator[tuple[str, list[Any]]]:
    """The URL of a server that gives these answers, then keeps silent, and the bodies that it was sent."""
    rest, seen, end = iter(answers), [], threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            answer = next(rest, "silence")
            if answer == "silence":
                end.wait(60)
            if answer is None or answer == "silence":
                self.close_connection = True
                return
            status, headers, content = answer
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}", seen
    finally:
        end.set()
        listening.shutdown()
        thread.join(10)
        listening.server_close()


@pytest.fixture
def retries() -> Iterator[list[Any]]:
    """What is tried again, at once."""
    scheduled: list[Any] = []
    before = stamina.instrumentation.get_on_retry_hooks()
    stamina.instrumentation.set_on_retry_hooks([scheduled.append])
    with stamina.set_testing(True, attempts=ATTEMPTS, cap=True):  # which leaves out the waiting
        yield scheduled
    stamina.instrumentation.set_on_retry_hooks(before)


def test_a_server_that_dies_and_comes_back_is_met_again(tiny_model: Path) -> None:
    with serving({"tiny": str(tiny_model)}) as first:
        remote = Vectorizer.remote(first.url)
        before = remote.encode_document("the sea")
    with pytest.raises(errors.VectorplugError, match=rf"no server answers at {first.url}.*`vectorplug serve`"):
        remote.encode_document("the sea")
    with serving({"tiny": str(tiny_model)}, port=first.port):
        assert_same(remote.encode_document("the sea"), before)


def test_a_broken_connection_is_made_again(retries: list[Any]) -> None:
    with scripted(blob(), None, None, blob(texts=1)) as (url, seen):
        remote = Vectorizer.remote(url, fde=None)
        assert len(remote.encode_document("x")) == 1
    assert [body["input"] for body in seen] == [[], ["x"], ["x"], ["x"]]
    assert len(retries) == 2
    assert all("x" not in attempt.args and not attempt.kwargs for attempt in retries)  # no text goes into logs


def test_a_connection_that_breaks_each_time_is_given_up(retries: list[Any]) -> None:
    with (
        scripted(*[None] * 9) as (url, seen),
        pytest.raises(errors.VectorplugError, match="no server answers"),
    ):
        Vectorizer.remote(url, fde=None)
    assert len(seen) == ATTEMPTS
    assert len(retries) == ATTEMPTS - 1


def test_a_server_that_starts_meanwhile_is_waited_for(retries: list[Any]) -> None:
    with scripted(blob()) as (url, _):
        port = int(url.rpartition(":")[2])
    assert retries == []
    later = http.server.ThreadingHTTPServer(("127.0.0.1", port), http.server.BaseHTTPRequestHandler, False)
    started: list[threading.Thread] = []

    def start(_: Any) -> None:
        if not started:
            later.server_bind()
            later.server_activate()
            started.append(threading.Thread(target=later.serve_forever, args=(0.01,)))
            started[0].start()

    stamina.instrumentation.set_on_retry_hooks([start])
    try:
        with pytest.raises(errors.VectorplugError, match="501"):  # it is there, and takes no POST
            Vectorizer.remote(url)
    finally:
        later.shutdown()
        later.server_close()
        started[0].join(10)


def test_a_slow_answer_is_not_asked_for_again(retries: list[Any]) -> None:
    with scripted(blob()) as (url, seen):
        remote = Vectorizer.remote(url, fde=None, timeout=0.5)
        with pytest.raises(errors.VectorplugError, match=rf"{url} gave no answer within 0\.5 s: .*timeout="):
            remote.encode_document("x")
        assert len(seen) == 2
    assert retries == []


OVER = {"error": {"message": "later", "exception": "OverloadedError", "retry_after": 2.5}}


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (told(429, OVER), errors.OverloadedError, "later"),
        (told(429, "slow down", {"retry-after": "3"}), errors.OverloadedError, "429"),
        ((503, {}, b"<html>no backend</html>"), errors.OverloadedError, "503.*is that a `vectorplug serve`"),
        ((502, {}, b""), errors.VectorplugError, "502"),
        (told(404, {"detail": "Not Found"}), errors.ConfigurationError, "404.*is that a `vectorplug serve`"),
        (told(413, {"error": {"message": "too large"}}), errors.InputError, "too large"),
        (told(504, {"error": {"message": "took longer"}}), errors.VectorplugError, "took longer"),
        (told(500, {"error": {"message": "own", "exception": None}}), errors.VectorplugError, "own"),
        (told(400, {"error": {"message": "m", "exception": "SystemExit"}}), errors.InputError, "m"),
        (told(400, {"error": {"message": "m", "exception": ["InputError"]}}), errors.InputError, "m"),
        (told(503, {"error": {"message": "m", "exception": "GatedModelError"}}), errors.GatedModelError, "m"),
        (told(500, {"error": {"message": "m", "exception": "PartialFailureError"}}), errors.VectorplugError, "m"),
        ((307, {"location": "http://127.0.0.1:1/"}, b""), errors.VectorplugError, "307"),
        ((200, {}, b"<html>hello</html>"), errors.VectorplugError, "no safetensors"),
        ((200, {"content-type": "application/vnd.safetensors"}, b"cut"), errors.VectorplugError, "cannot be read"),
        (blob("m@2", 2), errors.FingerprintError, "it was m@1 and is now m@2"),
    ],
)
def test_every_refusal_is_an_error_of_ours_and_is_not_tried_again(
    answer: Answer, kind: type[Exception], said: str, retries: list[Any]
) -> None:
    with scripted(blob(), answer) as (url, seen):
        remote = Vectorizer.remote(url, fde=None)
        with pytest.raises(kind, match=said) as caught:
            remote.encode_document(["a", "b"])
        assert type(caught.value) is kind
        if isinstance(caught.value, errors.OverloadedError):
            assert caught.value.retry_after == (2.5 if "later" in said else 3.0 if "429" in said else 1.0)
        assert len(seen) == 2
    assert retries == []


def test_errors_keep_what_they_hold_and_count_in_the_callers_list(monkeypatch: pytest.MonkeyPatch) -> None:
    long = {"message": "long", "exception": "TooLongError", "index": 1, "tokens": 9, "limit": 5}
    # One after the other, so that the script answers the second request.
    monkeypatch.setattr("vectorplug.remote.REQUESTS_AT_ONCE", 1)
    with scripted(blob(), blob(texts=1), told(400, {"error": long})) as (url, seen):
        with pytest.raises(errors.TooLongError, match="long") as caught:
            Vectorizer.remote(url, fde=None).encode_document(["y" * CHARACTERS_A_REQUEST, *"abcd"])
        assert (caught.value.index, caught.value.tokens, caught.value.limit) == (2, 9, 5)
        assert [len(body["input"]) for body in seen] == [0, 1, 4]


@pytest.mark.parametrize("url", ["localhost:8090", "ftp://host", "http://", "http://[::", ""])
def test_an_url_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="http://localhost:8090"):
        Vectorizer.remote(url)


def test_nobody_there_names_the_url_and_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(errors.VectorplugError, match=rf"http://127\.0\.0\.1:{port}.*`vectorplug serve`") as caught:
        Vectorizer.remote(f"http://me:secret@127.0.0.1:{port}")
    assert type(caught.value) is errors.VectorplugError
    assert "secret" not in str(caught.value)


def test_a_closed_one_says_so(server: Running) -> None:
    with Vectorizer.remote(server.url) as remote:
        pass
    with pytest.raises(errors.VectorplugError, match="closed"):
        remote.encode_query("x")


def test_the_protocol_of_stores_is_met(remote: RemoteVectorizer) -> None:
    as_stores_see_it: TextVectorizer = remote  # which mypy checks
    wanted = {name for name in vars(TextVectorizer) if not name.startswith("_")}
    assert wanted <= set(dir(as_stores_see_it))
