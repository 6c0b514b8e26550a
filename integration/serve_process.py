"""`vectorplug serve` as an operator starts it: a process of its own."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

DEADLINE = 120


@dataclass(frozen=True)
class ServeProcess:
    """`url` without a slash at its end; what it logs is in `log`."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def resident_bytes(self) -> int:
        """Memory of the process now."""
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines())
        return int(fields["VmRSS"].split()[0]) * 1024


@contextmanager
def serve_process(log: Path, *options: str, **environment: str) -> Iterator[ServeProcess]:
    """The server on a free port, ready; killed at the end of the block if it still runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vectorplug.cli", "serve", "--port", str(port), *options]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, **environment})
    running = ServeProcess(f"http://127.0.0.1:{port}", process, log)
    try:
        until = time.monotonic() + DEADLINE
        while not _is_ready(running.url):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield running
    finally:
        process.kill()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(url + "/readyz").status_code == 200
    except httpx.TransportError:
        return False
