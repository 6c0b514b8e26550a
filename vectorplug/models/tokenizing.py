"""Texts to token ids without padding, exactly as the checkpoint's own recipe makes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from torch import Tensor

__all__ = ["Role", "Tokenized", "prompt_of", "tokenize"]

Role = Literal["query", "document"]


@dataclass(slots=True)
class Tokenized:
    """n texts in one row: `ids` int64 [total], `starts` int64 [n + 1], `truncated` int64 [n].

    Text i is `ids[starts[i]:starts[i + 1]]`; its first `attended[i]` tokens are keys, the rest are expansion tokens
    that only ask. `types` are the token types, where the model has such. `prompt_length` leads every text.
    """

    ids: Tensor
    types: Tensor | None
    starts: npt.NDArray[np.int64]
    attended: npt.NDArray[np.int64]
    expansion: Tensor
    truncated: npt.NDArray[np.int64]
    prompt_length: int | None

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """int64 [n]."""
        return np.diff(self.starts)


def prompt_of(model: MultiVectorEncoder | SentenceTransformer, role: Role) -> str | None:
    """The prompt that the checkpoint puts before a text of that role, as sentence-transformers' encode_* choose it."""
    names = ("query",) if role == "query" else ("document", "passage", "corpus")
    found = next((model.prompts[name] for name in names if name in model.prompts), None)
    if found is None and model.default_prompt_name is not None:
        found = model.prompts.get(model.default_prompt_name)
    return found


def tokenize(model: MultiVectorEncoder | SentenceTransformer, texts: Sequence[str], role: Role) -> Tokenized:
    """n texts through the library's own preprocessing (prompt, markers, expansion, length), then unpadded."""
    prompt = prompt_of(model, role)
    features: dict[str, Any] = model.preprocess(list(texts), prompt=prompt, task=role)
    mask = features["attention_mask"].bool()
    expansion = features.get("query_expansion_positions", torch.zeros_like(mask)).bool()
    kept = mask | expansion
    lengths = kept.sum(dim=1).numpy()
    types = features.get("token_type_ids")
    return Tokenized(
        ids=features["input_ids"][kept],
        types=None if types is None else types[kept],
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        attended=mask.sum(dim=1).numpy(),
        expansion=expansion[kept],
        truncated=_truncated(model, texts, role, (kept & ~expansion).sum(dim=1).numpy()),
        prompt_length=features.get("prompt_length"),
    )


def _truncated(
    model: MultiVectorEncoder | SentenceTransformer, texts: Sequence[str], role: Role, lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """int64 [n]: tokens that the limit cut off. Only a text that fills the limit can have lost any."""
    cut = np.zeros(len(texts), np.int64)
    full = np.flatnonzero(lengths >= _limit(model[0], role)).tolist()
    if full:
        tokenizer: Any = model.tokenizer
        prompt = prompt_of(model, role) or ""
        whole = tokenizer([prompt + texts[i] for i in full], truncation=False, verbose=False)["input_ids"]
        cut[full] = np.maximum([len(ids) for ids in whole] - lengths[full], 0)
    return cut


def _limit(transformer: Any, role: Role) -> int:
    """The most tokens that a text of that role may have; 0 where the checkpoint does not say."""
    expansion = transformer.query_expansion if role == "query" else None
    if expansion is not None and expansion["strategy"] == "fixed":
        return int(expansion["length"])
    own = transformer.query_length if role == "query" else transformer.document_length
    return int(own or transformer.max_seq_length or 0)
