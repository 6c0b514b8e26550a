"""A real Qdrant for the tests: one that runs already, or a `qdrant` program that is started here."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

VARIABLE = "VECTORPLUG_TEST_QDRANT_URL"
DEADLINE = 60
LOG_LINES = 20


@dataclass(frozen=True)
class RunningQdrant:
    """`url` is REST's and has no slash at its end; gRPC is on the same host."""

    url: str
    grpc_port: int


@contextmanager
def qdrant_server(folder: Path, *, inference: str | None = None, token: str | None = None) -> Iterator[RunningQdrant]:
    """A Qdrant that answers; skips the test, and says how to have one, where there is none.

    With `inference`, the URL of our `/infer`, it has to be a `qdrant` program on PATH: one that runs already asks
    whom it was told to. `token` is what it sends there. `folder`, an empty one, holds what the program writes.
    """
    running = os.environ.get(VARIABLE)
    if running and inference is None:
        url = urlsplit(running)
        wait_until_ready(running.rstrip("/"))
        # gRPC's port is REST's and one, as it is by default.
        yield RunningQdrant(running.rstrip("/"), (urlsplit(running).port or 6333) + 1)
        return
    program = shutil.which("qdrant")
    if program is None:
        how = "put a `qdrant` program on PATH"
        if inference is None:
            how += f", or set {VARIABLE}=http://127.0.0.1:6333 where one runs (its collections are written to)"
        pytest.skip(f"no Qdrant here: {how}")
    http, grpc = free_ports(2)
    log = folder / "qdrant.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [program, "--disable-telemetry"],
            cwd=folder,
            env=environment(folder, http, grpc, inference, token),
            stdout=written,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{http}"
        try:
            wait_until_ready(url, process)
        except AssertionError as error:
            lines = log.read_text("utf-8", errors="replace").splitlines()
            raise AssertionError("\n".join([f"{program}: {error}", *lines[-LOG_LINES:]])) from None
        yield RunningQdrant(url, grpc)
    finally:
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(folder: Path, http: int, grpc: int, inference: str | None, token: str | None) -> dict[str, str]:
    """The settings of a Qdrant that keeps to this machine, and nothing of what another one was given."""
    settings = {
        "SERVICE__HOST": "127.0.0.1",
        "SERVICE__HTTP_PORT": str(http),
        "SERVICE__GRPC_PORT": str(grpc),
        "SERVICE__ENABLE_STATIC_CONTENT": "false",
        "STORAGE__STORAGE_PATH": str(folder / "storage"),
        "STORAGE__SNAPSHOTS_PATH": str(folder / "snapshots"),
        "TELEMETRY_DISABLED": "true",
    }
    if inference is not None:
        settings["INFERENCE__ADDRESS"] = inference
    if token is not None:
        settings["INFERENCE__TOKEN"] = token
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QDRANT__")}
    return kept | {f"QDRANT__{name}": value for name, value in settings.items()} | {"NO_PROXY": "127.0.0.1"}


def wait_until_ready(url: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """AssertionError where `/readyz` is not 200 before the deadline, or the process has ended."""
    until = time.monotonic() + DEADLINE
    while True:
        try:
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        assert process is None or process.poll() is None, f"it ended with exit code {process.returncode}"
        assert time.monotonic() < until, f"nothing is ready at {url} after {DEADLINE} s"
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Different ports of loopback that nobody has right now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports
