"""The server under load, beside the batcher without HTTP and the servers that a user would pick instead.

`python -m benchmarks.serving [SECONDS]`, a few seconds by default; 120 is what the page of benchmarks shows. Infinity
and SIE run where the programs `infinity_emb` and `sie-server` are on the path.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from rich.table import Table

from benchmarks.load import Load, load
from benchmarks.page.data import MODEL, texts_of_all_lengths
from benchmarks.rounds import console
from vectorplug.models.catalog import resolve
from vectorplug.models.encoder import Encoder
from vectorplug.residency.batcher import Batcher

SECONDS = 10.0
CONNECTIONS = 200
CLIENTS = (1, 16, 128)
# So many short texts fit into the queue of the overloaded server; four times as many clients come.
QUEUE_TOKENS = CONNECTIONS * 32
ROUNDS = 3
# How SIE is told of a model on this machine, with the adapter and the options that it has for this one.
SIE_MODEL = """
sie_id: minilm
weights_path: {place}
inputs: {{text: true, image: false, audio: false, video: false}}
tasks:
  encode: {{dense: {{dim: 384}}, sparse: null, multivector: null}}
  score: null
  extract: null
max_sequence_length: 256
profiles:
  default:
    max_batch_tokens: 16384
    compute_precision: null
    adapter_path: sie_server.adapters.sentence_transformer:SentenceTransformerDenseAdapter
    adapter_options:
      loadtime: {{trust_remote_code: false}}
      runtime: {{pooling: mean, normalize: true}}
"""


@contextmanager
def running(*command: str, ready: str = "/readyz", **environment: str) -> Iterator[str]:
    """A server's URL; the command's `PORT` is a free one. It is ended with the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    process = subprocess.Popen(
        [part.replace("PORT", port) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while not _answers(url + ready):
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False


def ours(*options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "vectorplug.cli", "serve", "--model", "minilm", "--port", "PORT", *options)


def batcher_load(batcher: Batcher, texts: Sequence[str], seconds: float) -> Load:
    """As many callers of single texts as the server has connections, on an event loop, without HTTP."""
    found = Load(CONNECTIONS)

    async def caller(offset: int, until: float) -> None:
        place = offset
        while time.perf_counter() < until:
            began = time.perf_counter()
            await asyncio.wrap_future(batcher.submit(texts[place % len(texts)], "document", ["dense"]))
            found.latencies.append(time.perf_counter() - began)
            place += CONNECTIONS

    async def callers() -> None:
        started = time.perf_counter()
        await asyncio.gather(*(caller(i, started + seconds) for i in range(CONNECTIONS)))
        found.seconds = time.perf_counter() - started

    asyncio.run(callers())
    return found


def bench_overhead(texts: Sequence[str], name: str, seconds: float) -> None:
    """What HTTP costs: the same texts and callers, with it and without, in turns."""
    encoder = Encoder(MODEL, device="cpu")
    without, served = [], []
    with running(*ours()) as url, Batcher(lambda: nullcontext(encoder)) as batcher:
        for _ in range(ROUNDS):
            without.append(batcher_load(batcher, texts, seconds / ROUNDS))
            served.append(
                load(f"{url}/v1/embeddings", "minilm", texts, connections=CONNECTIONS, seconds=seconds / ROUNDS)
            )
    ratio = sum(found.requests_a_second for found in served) / sum(found.requests_a_second for found in without)
    good = served[-1]
    statuses = sum((found.statuses for found in served), start=type(good.statuses)())
    console.print(
        f"{name}: {CONNECTIONS} connections of one text, {seconds:.0f} s: {good.requests_a_second:,.0f} requests/s, "
        f"{ratio:.2f} of the batcher without HTTP; p50 {good.milliseconds(50):,.0f} ms, "
        f"p99 {good.milliseconds(99):,.0f} ms; statuses {dict(statuses)}"
    )


def bench_overload(texts: Sequence[str], seconds: float) -> None:
    """Four times as many clients as the queue holds; before and after it, a quarter of what it holds."""
    with running(*ours(), VECTORPLUG_QUEUE_TOKENS=str(QUEUE_TOKENS)) as url:
        place = f"{url}/v1/embeddings"

        def calm() -> Load:
            return load(place, "minilm", texts, connections=CONNECTIONS // 4, seconds=5)

        calm()
        before = calm()
        over = load(place, "minilm", texts, connections=4 * CONNECTIONS, seconds=seconds)
        after = calm()
    console.print(
        f"overload, {4 * CONNECTIONS} connections for {seconds:.0f} s where about {CONNECTIONS} fit: "
        f"statuses {dict(over.statuses)}, p99 of the answered {over.milliseconds(99):,.0f} ms; "
        f"p50 before {before.milliseconds(50):,.0f} ms, after {after.milliseconds(50):,.0f} ms"
    )


def peers(folder: Path) -> Mapping[str, tuple[tuple[str, ...], str, str]]:
    """Command, path and path of readiness of each server that is here, ours first; `folder` is for their settings."""
    found = {
        "vectorplug": (ours(), "/v1/embeddings", "/readyz"),
        "sentence-transformers behind FastAPI": (
            (sys.executable, "-m", "benchmarks.peer_fastapi", "PORT"),
            "/v1/embeddings",
            "/readyz",
        ),
    }
    if (infinity := shutil.which("infinity_emb")) is not None:
        options = ("--model-id", resolve("minilm").place, "--served-model-name", "minilm", "--engine", "torch")
        command = (infinity, "v2", *options, "--device", "cpu", "--host", "127.0.0.1", "--port", "PORT")
        found["infinity"] = (command, "/embeddings", "/health")
    if (sie := shutil.which("sie-server")) is not None:
        (folder / "minilm.yaml").write_text(SIE_MODEL.format(place=resolve("minilm").place))
        options = ("--models-dir", str(folder), "--preload", "minilm", "--no-tracing", "--device", "cpu")
        command = (sie, "serve", *options, "--host", "127.0.0.1", "--port", "PORT")
        found["sie"] = (command, "/v1/embeddings", "/readyz")
    return found


def bench_peers(texts: Sequence[str], name: str, texts_a_request: int, seconds: float) -> None:
    """All servers up, one under load at a time, in turns."""
    table = Table(title=f"{name}, {texts_a_request} a request", title_justify="left", box=None, header_style="bold")
    for column in ("server", "clients", "requests/s", "texts/s", "times ours", "p50 ms", "p99 ms", "not 200"):
        table.add_column(column, justify="left" if column == "server" else "right")
    with ExitStack() as servers:
        folder = Path(servers.enter_context(tempfile.TemporaryDirectory()))
        urls = {
            server: servers.enter_context(running(*command, ready=ready)) + path
            for server, (command, path, ready) in peers(folder).items()
        }
        for clients in CLIENTS:
            loads: dict[str, Load] = {}
            for turn in range(2):  # the first warms up
                for server, url in urls.items():
                    loads[server] = load(
                        url,
                        "minilm",
                        texts,
                        connections=clients,
                        seconds=seconds if turn else 1,
                        texts_a_request=texts_a_request,
                    )
            for server, found in loads.items():
                ratio = found.texts_a_second / loads["vectorplug"].texts_a_second
                bad = sum(count for status, count in found.statuses.items() if status != 200)
                table.add_row(
                    server,
                    str(clients),
                    f"{found.requests_a_second:,.0f}",
                    f"{found.texts_a_second:,.0f}",
                    f"{ratio:.2f}",
                    f"{found.milliseconds(50):,.0f}",
                    f"{found.milliseconds(99):,.0f}",
                    str(bad),
                )
    console.print(table, "")


def main() -> None:
    """Overhead, overload, peers; on documents of 20 to 130 tokens and on short questions."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    # None above the limit of the model, which this format would refuse.
    documents = [" ".join(text.split()[:70]) for text in texts_of_all_lengths()]
    questions = [" ".join(text.split()[:12]) for text in documents]
    bench_overhead(documents, "documents of 20 to 130 tokens", seconds)
    bench_overhead(questions, "questions of 12 words", seconds / 4)
    bench_overload(questions, seconds / 2)
    bench_peers(questions, "questions of 12 words", 1, max(seconds / 12, 3))
    bench_peers(documents, "documents of 20 to 130 tokens", 4, max(seconds / 12, 3))


if __name__ == "__main__":
    main()
