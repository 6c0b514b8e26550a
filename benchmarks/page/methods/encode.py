"""The same texts by the same small model (its folder is an option): tokens, dense vectors, or both."""

import json
import tempfile
from pathlib import Path

__all__ = ["onnxruntime", "pylate", "sentence_transformers", "vectorplug"]

BATCH = 32


def vectorplug(folder, model, dtype, outputs):
    from vectorplug import Vectorizer

    vectorizer = Vectorizer(model, device="cpu", dtype=dtype, fde="default" if "fde" in outputs else None)
    texts = _texts(folder)

    def encode():
        return vectorizer.encode_document(texts, outputs=outputs, show_progress_bar=False)

    lengths = encode().token_counts
    question = _question(texts)

    def ask():
        return vectorizer.encode_query([question], outputs=("tokens",), show_progress_bar=False)

    return {"encode": encode, "query": ask}, {
        "least": int(lengths.min()),
        "most": int(lengths.max()),
        "mean": float(lengths.mean()),
    }


def sentence_transformers(folder, place, dtype, output):
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(place, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})
    texts = _texts(folder)
    asked = {"tokens": "token_embeddings", "dense": "sentence_embedding"}[output]
    question = _question(texts)
    return {
        "encode": lambda: model.encode(texts, batch_size=BATCH, output_value=asked, show_progress_bar=False),
        "query": lambda: model.encode([question], output_value=asked, show_progress_bar=False),
    }, {}


def onnxruntime(folder, place, length):
    """The transformer as an ONNX graph, batches of texts of like length, the mean of the tokens."""
    import numpy as np
    import onnxruntime as peer
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(place, "tokenizer.json")))
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding()
    settings = peer.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory(dir=folder) as room:
        graph = Path(room, "model.onnx")
        _export(place, graph)
        session = peer.InferenceSession(graph.read_bytes(), settings, providers=["CPUExecutionProvider"])
    texts = sorted(_texts(folder), key=len)

    def encode(texts):
        made = []
        for begin in range(0, len(texts), BATCH):
            batch = tokenizer.encode_batch(texts[begin : begin + BATCH])
            ids, mask = np.array([each.ids for each in batch]), np.array([each.attention_mask for each in batch])
            (hidden,) = session.run(None, {"ids": ids, "mask": mask})
            weights = mask[..., None].astype(np.float32)
            means = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
            made.append((hidden, means / np.linalg.norm(means, axis=1, keepdims=True)))

    question = _question(_texts(folder))
    return {"encode": lambda: encode(texts), "query": lambda: encode([question])}, {}


def pylate(folder, place, length):
    """A ColBERT of the same transformer, its projection of random numbers: as much work as a trained one's."""
    from pylate.models import ColBERT

    model = ColBERT(place, device="cpu", document_length=length)
    texts = _texts(folder)
    question = _question(texts)
    return {
        "encode": lambda: model.encode(texts, batch_size=BATCH, is_query=False, show_progress_bar=False),
        "query": lambda: model.encode([question], is_query=True, show_progress_bar=False),
    }, {}


def _export(place, graph):
    import torch
    from transformers import AutoModel

    class Hidden(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = AutoModel.from_pretrained(place, attn_implementation="eager").eval()

        def forward(self, ids, mask):
            return self.network(input_ids=ids, attention_mask=mask).last_hidden_state

    ones = torch.ones(2, 16, dtype=torch.long)
    torch.onnx.export(
        Hidden(),
        (ones, ones),
        str(graph),
        input_names=["ids", "mask"],
        output_names=["hidden"],
        dynamic_axes={name: {0: "texts", 1: "tokens"} for name in ("ids", "mask", "hidden")},
        dynamo=False,
    )


def _texts(folder):
    return json.loads((folder / "texts.json").read_text("utf-8"))


def _question(texts):
    return " ".join(texts[0].split()[:12])
