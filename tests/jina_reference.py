"""jina-colbert-v2's recipe in plain torch, text by text: the oracle of the one that runs on transformers.

Sources: jinaai/xlm-roberta-flash-implementation (the network), PyLate (markers, expansion, skipped punctuation).
"""

import string
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, normalize

HEADS = 4


def encode(folder: Path, text: str, role: str, *, length: int, base: float) -> Tensor:
    """One text -> the vectors of its kept tokens [tokens, 16]; at most `length` tokens, a query has all of them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = tokenizer.encode(text).ids
    ids = ids if len(ids) < length else [*ids[: length - 2], ids[-1]]
    marker = tokenizer.token_to_id("[QueryMarker]" if role == "query" else "[DocumentMarker]")
    ids = [ids[0], marker, *ids[1:]]
    if role == "query":
        ids += [tokenizer.token_to_id("<mask>")] * (length - len(ids))
    weights = load_file(folder / "model.safetensors")
    vectors = normalize(linear(network(weights, torch.tensor(ids), base), weights["linear.weight"]), dim=-1)
    skipped = {tokenizer.token_to_id(mark) for mark in string.punctuation} if role == "document" else set()
    return vectors[[position for position, token in enumerate(ids) if token not in skipped]]


def network(weights: dict[str, Tensor], ids: Tensor, base: float) -> Tensor:
    """ids [tokens] -> last hidden states [tokens, 32]; everybody attends to everybody."""

    def of(name: str) -> Tensor:
        return weights[f"roberta.{name}"]

    def norm(name: str, hidden: Tensor) -> Tensor:
        return layer_norm(hidden, hidden.shape[-1:], of(f"{name}.weight"), of(f"{name}.bias"), eps=1e-5)

    def dense(name: str, hidden: Tensor) -> Tensor:
        return linear(hidden, of(f"{name}.weight"), of(f"{name}.bias"))

    hidden = of("embeddings.word_embeddings.weight")[ids] + of("embeddings.token_type_embeddings.weight")[0]
    hidden = norm("emb_ln", hidden)
    for layer in range(2):
        here = f"encoder.layers.{layer}"
        query, key, value = dense(f"{here}.mixer.Wqkv", hidden).view(len(ids), 3, HEADS, -1).permute(1, 2, 0, 3)
        query, key = rotated(query, base), rotated(key, base)
        scores = query @ key.transpose(1, 2) / query.shape[-1] ** 0.5
        attended = (scores.softmax(-1) @ value).transpose(0, 1).flatten(1)
        hidden = norm(f"{here}.norm1", hidden + dense(f"{here}.mixer.out_proj", attended))
        inner = dense(f"{here}.mlp.fc2", gelu(dense(f"{here}.mlp.fc1", hidden)))
        hidden = norm(f"{here}.norm2", hidden + inner)
    return hidden


def rotated(heads: Tensor, base: float) -> Tensor:
    """[heads, tokens, d], the first half of d against the second, by the token's position."""
    tokens, d = heads.shape[1:]
    angles = torch.arange(tokens)[:, None] / base ** (torch.arange(0, d, 2) / d)
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], -1)
