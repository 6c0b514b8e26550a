"""What many teams write: sentence-transformers behind FastAPI. `python -m benchmarks.peer_fastapi PORT`."""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

from vectorplug.models.catalog import resolve

app = FastAPI()
model = SentenceTransformer(resolve("minilm").place)


class Request(BaseModel):
    model: str
    input: list[str]


@app.post("/v1/embeddings")
def embeddings(body: Request) -> dict[str, Any]:
    vectors = model.encode(body.input, normalize_embeddings=True)
    return {"data": [{"index": i, "embedding": vector.tolist()} for i, vector in enumerate(vectors)]}


@app.get("/readyz")
def ready() -> dict[str, str]:
    return {"status": "ready"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
