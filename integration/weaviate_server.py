"""A real Weaviate for the tests: the one that a variable names, or a program on PATH, started for the session."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import weaviate
from weaviate.classes.init import Auth

__all__ = ["VARIABLE", "WeaviateServer", "weaviate_server"]

VARIABLE = "VECTORPLUG_TEST_WEAVIATE_URL"
HOW = (
    f"no Weaviate: set {VARIABLE} to one that runs (http://localhost:8080?grpc_port=50051), or have the program "
    "`weaviate` on PATH."
)
# A module waits up to two minutes for its service.
DEADLINE = 150
LAST_LINES = 30


@dataclass(frozen=True)
class WeaviateServer:
    """Where it listens. `is_ours` says whether the suite started it, with the environment that it asked for."""

    host: str
    port: int
    grpc_port: int
    is_ours: bool

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    @property
    def store_url(self) -> str:
        """As `open_store` takes it."""
        return f"weaviate+{self.url}?grpc_port={self.grpc_port}"

    def connect(self, *, headers: Mapping[str, str] | None = None, key: str | None = None) -> weaviate.WeaviateClient:
        """A client, to be closed by its `with`; `key` is Weaviate's own API key."""
        auth = None if key is None else Auth.api_key(key)
        return weaviate.connect_to_custom(**self._address(), headers=dict(headers or {}), auth_credentials=auth)

    def connect_async(self) -> weaviate.WeaviateAsyncClient:
        """An asynchronous client, connected by its `async with`."""
        return weaviate.use_async_with_custom(**self._address())

    def _address(self) -> Any:
        return {
            "http_host": self.host,
            "http_port": self.port,
            "http_secure": False,
            "grpc_host": self.host,
            "grpc_port": self.grpc_port,
            "grpc_secure": False,
            "skip_init_checks": True,  # they ask the package index for the client's newest version
        }


@contextmanager
def weaviate_server(folder: Path, environment: Mapping[str, str]) -> Iterator[WeaviateServer]:
    """A Weaviate that is ready; one that is started has its data in `folder`. Skips where there is none."""
    if named := os.environ.get(VARIABLE):
        parts = urlsplit(named)
        grpc_port = int(parse_qs(parts.query).get("grpc_port", ["50051"])[0])
        running = WeaviateServer(parts.hostname or "localhost", parts.port or 8080, grpc_port, is_ours=False)
        _wait(running, None, folder)
        yield running
        return
    program = shutil.which("weaviate")
    if program is None:
        pytest.skip(HOW)
    port, grpc_port, *others = _free_ports(6)
    running = WeaviateServer("127.0.0.1", port, grpc_port, is_ours=True)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--host", running.host, "--port", str(port), "--scheme", "http"],
            env=_own(folder, grpc_port, others) | environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(running, process, folder)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _own(folder: Path, grpc_port: int, others: list[int]) -> dict[str, str]:
    """The environment of one node that talks to nobody but this machine."""
    ports = ("CLUSTER_GOSSIP_BIND_PORT", "CLUSTER_DATA_BIND_PORT", "RAFT_PORT", "RAFT_INTERNAL_RPC_PORT")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PERSISTENCE_DATA_PATH": str(folder / "data"),
        "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED": "true",
        "CLUSTER_HOSTNAME": "node1",
        "CLUSTER_IN_LOCALHOST": "true",
        "CLUSTER_BIND_ADDR": "127.0.0.1",
        "CLUSTER_ADVERTISE_ADDR": "127.0.0.1",
        "DISABLE_TELEMETRY": "true",
        "GO_PROFILING_DISABLE": "true",
        "GRPC_PORT": str(grpc_port),
        **{name: str(port) for name, port in zip(ports, others, strict=True)},
    }


def _wait(running: WeaviateServer, process: subprocess.Popen[bytes] | None, folder: Path) -> None:
    """Until it is ready; AssertionError with the last lines of its log where it is not."""
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until and (process is None or process.poll() is None):
        try:
            if httpx.get(f"{running.url}/v1/.well-known/ready").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    log = folder / "log"
    said = log.read_text(errors="replace").splitlines()[-LAST_LINES:] if log.exists() else []
    raise AssertionError("\n".join([f"no Weaviate is ready at {running.url}", *said]))


def _free_ports(count: int) -> list[int]:
    """So many neighbours that nobody listens on: with CLUSTER_IN_LOCALHOST, Raft's calls go to its own port + 1."""
    while True:
        sockets: list[socket.socket] = []
        try:
            for _ in range(count):
                sockets.append(socket.create_server(("127.0.0.1", sockets[-1].getsockname()[1] + 1 if sockets else 0)))
            return [int(s.getsockname()[1]) for s in sockets]
        except OSError:  # taken: begin elsewhere
            continue
        finally:
            for s in sockets:
                s.close()
