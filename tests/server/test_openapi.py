"""The OpenAPI document is a promise to clients; a change of it is made on purpose.

After such a change: `python -m pytest tests/server/test_openapi.py --write-openapi`.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from bounds import bounds

from vectorplug.residency.cache import ModelCache
from vectorplug.server.app import create_app
from vectorplug.server.engine import Engine
from vectorplug.server.names import Names

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"


def test_the_document_is_the_one_in_docs(request: pytest.FixtureRequest) -> None:
    limits = bounds()
    with ModelCache(device="cpu") as cache:
        made = create_app(Engine(cache, Names({"minilm": "minilm"}), limits), limits).openapi()
    if request.config.getoption("--write-openapi"):
        DOCUMENT.write_text(json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
    assert promise(made) == promise(json.loads(DOCUMENT.read_text("utf-8")))


def promise(document: dict[str, Any]) -> dict[str, Any]:
    """Paths with their methods, and every object's fields; how FastAPI words the rest changes with its version."""
    schemas = document["components"]["schemas"]
    return {
        "paths": {path: sorted(methods) for path, methods in document["paths"].items()},
        "objects": {
            name: (sorted(schema.get("properties", ())), sorted(schema.get("required", ())))
            for name, schema in schemas.items()
            if not name.endswith("ValidationError")
        },
    }
