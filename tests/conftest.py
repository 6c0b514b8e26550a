"""What every test may use: tiny checkpoints, made once a session, and the real data where it is there."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import checkpoints

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def tiny_colbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write_tiny_colbert(tmp_path_factory.mktemp("models") / "tiny-colbert")


@pytest.fixture(scope="session")
def tiny_dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write_tiny_dense(tmp_path_factory.mktemp("models") / "tiny-dense")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data here: {folder} is not there")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-openapi", action="store_true", help="Write docs/openapi.json as the server makes it now.")
