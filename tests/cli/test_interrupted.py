"""`vectorplug index` killed with -9 in the middle: the same command again completes it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DOCUMENTS = 4_000


def test_the_same_command_completes_a_killed_one(tmp_path: Path, tiny_colbert: Path) -> None:
    documents = ({"_id": f"d{i}", "title": "", "text": f"document number {i} on the sea"} for i in range(DOCUMENTS))
    (tmp_path / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    program = str(Path(sys.executable).with_name("vectorplug"))
    command = [program, "index", "corpus.jsonl", "--store", "edge:./index", "--model", str(tiny_colbert), "--json"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}

    def index() -> dict[str, int]:
        outcome = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=300)
        return dict(json.loads(outcome.stdout))

    child = subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        # The collection appears once the first of its documents are encoded and about to be written.
        while not (tmp_path / "index" / "docs" / "collection.json").exists():
            assert child.poll() is None, "the child ended before it could be killed"
            time.sleep(0.01)
    finally:
        child.kill()
        child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL

    completed = index()
    assert completed["documents"] == DOCUMENTS
    assert completed["added"] + completed["unchanged"] == DOCUMENTS
    assert completed["added"] > 0
    assert index()["unchanged"] == DOCUMENTS
