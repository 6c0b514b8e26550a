"""Which server and which way a URL names; nothing is sent."""

import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("qdrant_client", reason="pip install 'vectorplug[qdrant]' brings it")

from qdrant_client import QdrantClient
from vectorplug_qdrant import QdrantStore, connecting

from vectorplug.errors import ConfigurationError


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize(
    ("url", "rest", "grpc_port"),
    [
        ("http://h:7000", "http://h:7000", None),
        ("qdrant+https://h:7000", "https://h:7000", None),
        ("qdrant+http://h:7000?grpc_port=7001", "http://h:7000", 7001),
        ("https://h:6333?grpc_port=6335", "https://h:6333", 6335),
        ("http://h", "http://h:6333", "where it answers"),
        ("qdrant+http://h:6333/", "http://h:6333", "where it answers"),
        ("http://h:6333/prefix", "http://h:6333/prefix", None),
    ],
)
def test_urls(url: str, rest: str, grpc_port: Any, answers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[QdrantClient] = []
    monkeypatch.setattr(connecting, "_answers", lambda client: probed.append(client) or answers)
    client = connecting.connected(url)
    remote: Any = client._client
    assert remote.rest_uri.rstrip("/") == rest
    expected = (6334 if answers else None) if grpc_port == "where it answers" else grpc_port
    assert (remote._grpc_port if remote._prefer_grpc else None) == expected
    assert bool(probed) == (grpc_port == "where it answers")
    assert (connecting.channel_of(client._client) is not None) == (expected is not None)
    client.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "names no server"),
        ("http://h:port", "cannot be read"),
        ("http://h:99999", "cannot be read"),
        ("http://h?grpc_port=x", "cannot be read"),
        ("http://h?prefer_grpc=1", "names no server"),
        ("http://h?grpc", "cannot be read"),
        ("http://user:secret@h:6333", "api_key"),
        ("qdrant+ftp://h", "no folder and no server"),
        ("qdrant://h:6333", "no folder and no server"),
    ],
)
def test_urls_that_name_no_server(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        QdrantStore(url)
    assert "secret" not in str(caught.value)


def test_a_client_whose_channels_are_elsewhere_writes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    client = QdrantClient("http://h:7000", prefer_grpc=True, check_compatibility=False)
    monkeypatch.delattr(client._client, "_grpc_channel_pool")
    monkeypatch.setattr(type(client._client), "_init_grpc_channel", lambda _: None)
    assert connecting.channel_of(client._client) is None


RUNS_WITHOUT = """
import sys
sys.modules[{missing!r}] = None
from vectorplug.errors import ConfigurationError
from vectorplug_qdrant import QdrantStore
with QdrantStore("edge:./index") if {missing!r} == "qdrant_client" else open("here", "w"):
    pass
if {missing!r} == "qdrant_edge":
    import vectorplug_qdrant.server
try:
    QdrantStore("http://127.0.0.1:1" if {missing!r} == "qdrant_client" else "edge:./index")
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize("missing", ["qdrant_client", "qdrant_edge"])
def test_each_goes_without_the_package_of_the_other(missing: str, tmp_path: Any) -> None:
    code = RUNS_WITHOUT.format(missing=missing)
    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert f"needs the package '{missing}': pip install 'vectorplug[qdrant]'" in said.stdout
