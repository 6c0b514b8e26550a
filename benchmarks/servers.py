"""Real database servers for a measurement: programs on PATH, on loopback, with a temporary folder for their data."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))

import qdrant_server
import weaviate_server

__all__ = ["SERVERS", "Server", "memory_of", "qdrant", "weaviate"]

HOST = "127.0.0.1"


class Server:
    """A program whose ports and folder stay the same however often it is started.

    `url` is as for `open_store`; `connect` gives a client of its own, to be closed.
    """

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        folder: Path,
        url: str,
        wait: Callable[[subprocess.Popen[bytes]], None],
        connect: Callable[[], Any],
    ) -> None:
        self.url, self.connect = url, connect
        self._command, self._environment, self._folder, self._wait = command, environment, folder, wait
        self.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, env=dict(self._environment), stdout=log, stderr=subprocess.STDOUT
            )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    def wait(self) -> None:
        """Until it answers."""
        self._wait(self._process)


@contextmanager
def qdrant() -> Iterator[Server]:
    """A Qdrant server that answers; its data are gone afterwards."""
    http, grpc = qdrant_server.free_ports(2)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        yield from _running(
            Server(
                [_program("qdrant"), "--disable-telemetry"],
                qdrant_server.environment(folder, http, grpc, None, None),
                folder,
                f"qdrant+http://{HOST}:{http}?grpc_port={grpc}",
                lambda process: qdrant_server.wait_until_ready(f"http://{HOST}:{http}", process),
                lambda: QdrantClient(HOST, port=http, grpc_port=grpc, prefer_grpc=True, check_compatibility=False),
            )
        )


@contextmanager
def weaviate() -> Iterator[Server]:
    """A Weaviate server that answers; its data are gone afterwards."""
    http, grpc, *others = weaviate_server._free_ports(6)
    there = weaviate_server.WeaviateServer(HOST, http, grpc, is_ours=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        yield from _running(
            Server(
                [_program("weaviate"), "--host", HOST, "--port", str(http), "--scheme", "http"],
                weaviate_server._own(folder, grpc, others),
                folder,
                f"weaviate+http://{HOST}:{http}?grpc_port={grpc}",
                lambda process: weaviate_server._wait(there, process, folder),
                there.connect,
            )
        )


SERVERS = {"qdrant": qdrant, "weaviate": weaviate}


def memory_of(pid: int) -> float:
    """MB that a process has had in memory at once, at the most (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1000


def _running(server: Server) -> Iterator[Server]:
    # Who ends the measurement ends the server, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        server.wait()
        yield server
    finally:
        server.kill()


def _program(name: str) -> str:
    if (program := shutil.which(name)) is None:
        sys.exit(f"there is no program {name!r} on PATH ({os.environ.get('PATH')}), and this measures it.")
    return program
