"""What the hub may answer, each under its own error: a hub on 127.0.0.1 stands for it, in a process of its own.

huggingface_hub reads the hub's address and whether it is offline when it is imported, so the cases share one process.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CASES = """
import json, sys
from vectorplug import Vectorizer, errors
found = {}
for name in sys.argv[1:]:
    try:
        vectorizer = Vectorizer(name, fde=None, device="cpu", dtype="float32")
        found[name] = ["loaded", vectorizer.fingerprint, vectorizer.model]
    except errors.VectorplugError as error:
        found[name] = [type(error).__name__, str(error)]
print(json.dumps(found))
"""


class Hub(BaseHTTPRequestHandler):
    """Serves one folder as org/model at one commit, under `main` and `v1`; org/gated and org/missing as their names."""

    folder: Path

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path = self.path.split("?")[0]
        if "org/gated" in path:
            self.refuse(403, "GatedRepo")
        elif "org/model" not in path:
            self.refuse(404, "RepoNotFound")
        elif path.startswith("/api/"):
            self.tell(path)
        else:
            revision, _, name = path.partition("/resolve/")[2].partition("/")
            if revision not in ("main", "v1", COMMIT):
                self.refuse(404, "RevisionNotFound")
            elif not (self.folder / name).is_file():
                self.refuse(404, "EntryNotFound")
            else:
                self.send((self.folder / name).read_bytes(), with_body, ETag=f'"{name}"')

    def tell(self, path: str) -> None:
        names = [file.relative_to(self.folder).as_posix() for file in self.folder.rglob("*") if file.is_file()]
        revision = path.rpartition("/revision/")[2] if "/revision/" in path else "main"
        if revision not in ("main", "v1", COMMIT):
            self.refuse(404, "RevisionNotFound")
        elif "/tree/" in path:
            self.send(json.dumps([{"type": "file", "path": name, "size": 1, "oid": "0"} for name in names]).encode())
        else:
            about = {"id": "org/model", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self.send(json.dumps(about).encode())

    def refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send(self, body: bytes, with_body: bool = True, **headers: str) -> None:
        self.send_response(200)
        for name, value in ({"X-Repo-Commit": COMMIT, "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tiny_colbert: Path) -> Iterator[str]:
    handler = type("Handler", (Hub,), {"folder": tiny_colbert})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def outcomes(cache: Path, endpoint: str, *names: str, offline: bool = False) -> dict[str, list[str]]:
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "HF_HUB_OFFLINE": str(int(offline))}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    process = subprocess.run(
        [sys.executable, "-c", CASES, *names],
        env={**kept, **settings, "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == "", "a pipe gets no bar and no warning"
    found: dict[str, list[str]] = json.loads(process.stdout)
    return found


def test_the_hub_s_answers_are_told_apart_and_what_was_fetched_loads_offline(hub: str, tmp_path: Path) -> None:
    found = outcomes(tmp_path, hub, "org/model", "org/model@v1", "org/model@v2", "org/gated", "org/missing")
    assert found["org/model"][0] == found["org/model@v1"][0] == "loaded", found
    # The commit stands in the fingerprint, whatever revision it was asked by; the name loads the same again.
    assert found["org/model"][1] == found["org/model@v1"][1]
    assert found["org/model"][1].startswith(f"org/model@{COMMIT}#multi-vector-")
    assert (found["org/model"][2], found["org/model@v1"][2]) == ("org/model", "org/model@v1")
    kind, said = found["org/model@v2"]
    assert kind == "ModelNotFoundError"
    assert "no revision 'v2'" in said
    kind, said = found["org/gated"]
    assert kind == "GatedModelError"
    assert "accept its terms" in said
    kind, said = found["org/missing"]
    assert kind == "ModelNotFoundError"
    assert "the hub has no model 'org/missing'" in said

    nowhere = "http://127.0.0.1:9"  # the discard port: nobody answers
    found = outcomes(tmp_path, nowhere, "org/model", "org/model@v1", "org/other", offline=True)
    assert found["org/model"][0] == found["org/model@v1"][0] == "loaded", found
    kind, said = found["org/other"]
    assert kind == "HubUnreachableError"
    assert "is not on this machine and the hub cannot be reached" in said
