"""Which characters of a text each of its token vectors stands for, and which end of a text fits the model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.multi_vector_encoder.modules import BaseTokenPooling, MultiVectorMask
from torch import Tensor

from vectorplug.models.bge_m3 import TokenHead
from vectorplug.models.tokenizing import Role, prompt_of, tokenize

__all__ = ["kept_tokens", "merges_tokens", "no_spans", "spans", "tails"]


def merges_tokens(model: MultiVectorEncoder | SentenceTransformer, role: Role) -> bool:
    """Whether the checkpoint merges the tokens of such a text, so that one vector stands for many and has no span."""
    return any(isinstance(module, BaseTokenPooling) and module.applies_to(role) for module in model)


def no_spans(tokens: int) -> npt.NDArray[np.int32]:
    """int32 [tokens, 2], all -1: vectors that stand for no run of characters."""
    return np.full((tokens, 2), -1, np.int32)


def spans(
    model: MultiVectorEncoder | SentenceTransformer, texts: Sequence[str], role: Role
) -> list[npt.NDArray[np.int32]]:
    """n times int32 [tokens, 2]: characters [start, end) of the text that each token vector stands for, else -1.

    White space around a token is left out, whether the tokenizer counts it in or not.
    """
    asked: dict[str, Any] = {}
    if _gives_offsets(model):
        asked["processing_kwargs"] = {"text": {"return_offsets_mapping": True}}
    prompt = prompt_of(model, role)
    features: dict[str, Any] = model.preprocess(list(texts), prompt=prompt, task=role, **asked)
    if "attention_mask" not in features:
        return [no_spans(1) for _ in texts]
    kept = kept_tokens(model, features, role).numpy()
    if "offset_mapping" not in features:
        return [no_spans(row.sum()) for row in kept]
    # Expansion may have made the rows longer; what it added stands for nothing, as padding does.
    offsets = np.zeros((*kept.shape, 2), np.int64)
    given = features["offset_mapping"].numpy()
    offsets[:, : given.shape[1]] = given
    before = len(prompt or "")
    return [_in_text(text, row[own], before) for text, row, own in zip(texts, offsets, kept, strict=True)]


def tails(model: MultiVectorEncoder | SentenceTransformer, texts: Sequence[str], role: Role) -> list[str]:
    """n texts: of each the longest end that the model reads whole, cut where a token begins; all of it where it fits.

    Empty where the model's limit has no room for any token of the text.
    """
    found = list(texts)
    excess = {i: text.truncated for i, text in enumerate(tokenize(model, texts, role)) if text.truncated}
    starts = {i: _starts(model, texts[i]) for i in excess}
    dropped = dict.fromkeys(excess, 0)
    # Again as long as it is too long: a word that was cut may have more tokens than its end had inside it.
    while excess:
        for i, tokens in excess.items():
            dropped[i] += tokens
            found[i] = texts[i][starts[i][dropped[i]] :] if dropped[i] < len(starts[i]) else ""
        cut = tokenize(model, [found[i] for i in excess], role)
        excess = {i: text.truncated for i, text in zip(excess, cut, strict=True) if text.truncated and text.text}
    return found


def _gives_offsets(model: MultiVectorEncoder | SentenceTransformer) -> bool:
    """Not slow tokenizers, nor a chat template, whose offsets are those of the whole conversation."""
    first: Any = model[0]
    return (
        isinstance(first, Transformer)
        and "message" not in first.modality_config
        and bool(getattr(first.tokenizer, "is_fast", False))
    )


def kept_tokens(model: MultiVectorEncoder | SentenceTransformer, features: dict[str, Any], role: Role) -> Tensor:
    """Bool [n, longest]: the tokens that have a vector, by the checkpoint's own mask."""
    kept: Tensor = features["attention_mask"].bool()
    modules: Any = model
    for module in modules:
        if isinstance(module, MultiVectorMask):  # it brings expansion tokens back; without one they have no vector
            kept = kept | features.get("query_expansion_positions", kept).bool()
            kept = module({"input_ids": features["input_ids"], "attention_mask": kept}, task=role)["attention_mask"]
    if any(isinstance(part, TokenHead) for part in modules[0].children()):
        kept = kept & (kept.cumsum(dim=1) > 1)  # the first position is the dense vector's alone
    return kept


def _in_text(text: str, offsets: npt.NDArray[np.int64], before: int) -> npt.NDArray[np.int32]:
    """Offsets [tokens, 2] that count from `before` characters ahead of the text -> spans of the text."""
    found = no_spans(len(offsets))
    for row, (start, end) in enumerate((offsets - before).tolist()):
        piece = text[max(start, 0) : max(end, 0)]
        # White space at the border belongs to the prompt's last token, and alone within a text to the text.
        if piece.strip() or (piece and start >= 0):
            first = max(start, 0) + (len(piece) - len(piece.lstrip()) if piece.strip() else 0)
            found[row] = first, first + len(piece.strip() or piece)
    return found


def _starts(model: MultiVectorEncoder | SentenceTransformer, text: str) -> list[int]:
    """Where each token of the text begins. Where the tokenizer does not tell: each byte, of which no token has less."""
    tokenizer: Any = model.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        return [i for i, letter in enumerate(text) for _ in letter.encode()]
    told = tokenizer(text, truncation=False, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return [start for start, _ in told["offset_mapping"]]
