"""Texts to token ids without padding, exactly as the checkpoint's own recipe makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from torch import Tensor

from vectorplug.models.names import Role

__all__ = ["Role", "TokenizedText", "limit", "limited", "prompt_of", "tokenize"]

Model = TypeVar("Model", bound=MultiVectorEncoder | SentenceTransformer)


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedText:
    """One text as the model reads it: `ids` int64 [length], and `types`, where the model has token types.

    The first `attended` tokens are keys, the rest are expansion tokens that only ask. `truncated` tokens were cut off.
    `length` is the most that it was allowed; None is the checkpoint's own limit.
    """

    text: str
    role: Role
    ids: Tensor
    types: Tensor | None
    attended: int
    truncated: int
    prompt_length: int | None
    length: int | None = None

    def __len__(self) -> int:
        return len(self.ids)


def prompt_of(model: MultiVectorEncoder | SentenceTransformer, role: Role) -> str | None:
    """The prompt that the checkpoint puts before a text of that role, as sentence-transformers' encode_* choose it."""
    names = ("query",) if role == "query" else ("document", "passage", "corpus")
    found = next((model.prompts[name] for name in names if name in model.prompts), None)
    if found is None and model.default_prompt_name is not None:
        found = model.prompts.get(model.default_prompt_name)
    return found


def limited(model: Model, role: Role, length: int | None) -> Model:
    """The model, of whose texts of that role no more than `length` tokens are read; None is its own limit.

    It shares everything but its lengths with the one given, which others may be using. Queries that the checkpoint
    expands with [MASK]s are expanded to `length` at the most.
    """
    first: Any = model[0]
    if length is None or not hasattr(first, "query_expansion"):  # a bag of words has one vector, whatever it reads
        return model
    first = _twin(first)
    if role == "document":
        first.document_length = length
    else:
        expansion = first.query_expansion
        # The one is checked against the other.
        first.query_expansion, first.query_length = None, length
        if expansion is not None:
            first.query_expansion = {**expansion, "length": min(expansion["length"], length)}
    twin: Model = _twin(model)
    twin._modules = {**model._modules, next(iter(model._modules)): first}
    return twin


def _twin(module: Any) -> Any:
    """Another object with the same attributes, its parts and weights included."""
    twin = object.__new__(type(module))
    twin.__dict__.update(module.__dict__)
    return twin


def tokenize(
    model: MultiVectorEncoder | SentenceTransformer, texts: Sequence[str], role: Role, length: int | None = None
) -> list[TokenizedText]:
    """n texts through the library's own preprocessing (prompt, markers, expansion, length), then unpadded.

    `length` is as for `limited`.
    """
    model = limited(model, role, length)
    features: dict[str, Any] = model.preprocess(list(texts), prompt=prompt_of(model, role), task=role)
    if "attention_mask" not in features:  # a bag of words: no sequence, no limit, and next to no cost
        nothing = torch.zeros(1, dtype=torch.int64)
        return [TokenizedText(text, role, nothing, None, attended=1, truncated=0, prompt_length=None) for text in texts]
    attended = features["attention_mask"].bool()
    expansion = features.get("query_expansion_positions", torch.zeros_like(attended)).bool()
    kept = attended | expansion
    lengths = kept.sum(dim=1).tolist()
    own = (kept & ~expansion).sum(dim=1).numpy()
    types = features["token_type_ids"][kept].split(lengths) if "token_type_ids" in features else [None] * len(texts)
    columns = zip(
        texts,
        features["input_ids"][kept].split(lengths),
        types,
        attended.sum(dim=1).tolist(),
        _truncated(model, texts, role, own).tolist(),
        strict=True,
    )
    prompt_length = features.get("prompt_length")
    return [
        TokenizedText(text, role, ids, kinds, keys, cut, prompt_length, length)
        for text, ids, kinds, keys, cut in columns
    ]


def _truncated(
    model: MultiVectorEncoder | SentenceTransformer, texts: Sequence[str], role: Role, lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """int64 [n]: tokens that the limit cut off. Only a text that fills the limit can have lost any."""
    cut = np.zeros(len(texts), np.int64)
    full = np.flatnonzero(lengths >= limit(model, role)).tolist()
    if full:
        tokenizer: Any = model.tokenizer
        prompt = prompt_of(model, role) or ""
        whole = tokenizer([prompt + texts[i] for i in full], truncation=False, verbose=False)["input_ids"]
        cut[full] = np.maximum([len(ids) for ids in whole] - lengths[full], 0)
    return cut


def limit(model: MultiVectorEncoder | SentenceTransformer, role: Role) -> int:
    """The most tokens that a text of that role may have; 0 where the checkpoint does not say."""
    transformer: Any = model[0]
    if not hasattr(transformer, "query_expansion"):  # a bag of words
        return 0
    expansion = transformer.query_expansion if role == "query" else None
    if expansion is not None and expansion["strategy"] == "fixed":
        return int(expansion["length"])
    own = transformer.query_length if role == "query" else transformer.document_length
    return int(own or transformer.max_seq_length or 0)
