"""The slower path that is always right: whatever sentence-transformers runs, run by sentence-transformers."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers.base.modules import Transformer
from torch import Tensor
from torch.nn.functional import normalize

from vectorplug.models.loading import Checkpoint
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import Role, prompt_of, tokenize

__all__ = ["LibraryEncoder"]

BATCH_TEXTS = 32


class LibraryEncoder:
    """One checkpoint that the packed path does not take over, in float32."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._model = checkpoint.model
        self._is_multi_vector = checkpoint.is_multi_vector
        self._dense_dim = checkpoint.dense_dim
        self._lock = threading.Lock()

    def pieces(self, texts: Sequence[str], role: Role, _budget: int) -> Iterator[Piece]:
        """The texts in batches of like length, each with its token vectors and dense vector."""
        order = np.argsort([-len(text) for text in texts], kind="stable")
        for start in range(0, len(order), BATCH_TEXTS):
            chosen = order[start : start + BATCH_TEXTS]
            yield self._piece([texts[i] for i in chosen], role, chosen)

    def _piece(self, texts: list[str], role: Role, chosen: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Piece:
        prompt = prompt_of(self._model, role)
        with self._lock, torch.inference_mode():
            parts: Any = self._model.encode(texts, prompt=prompt, task=role, output_value=None, show_progress_bar=False)
            tokens = [self._tokens(part) for part in parts]
            if self._is_multi_vector:
                dense = [normalize(part.mean(dim=0), dim=-1) for part in tokens]
            else:
                dense = [part["sentence_embedding"].float()[: self._dense_dim] for part in parts]
        has_limit = isinstance(self._model[0], Transformer)
        return Piece(
            positions=chosen,
            tokens=torch.cat(tokens).cpu().numpy(),
            lengths=np.array([len(part) for part in tokens]),
            dense=torch.stack(dense).cpu().numpy(),
            truncated=tokenize(self._model, texts, role).truncated if has_limit else np.zeros(len(texts), np.int64),
        )

    def _tokens(self, part: dict[str, Tensor]) -> Tensor:
        if "token_embeddings" not in part:  # a static or bag-of-words model: its one vector is all there is
            return part["sentence_embedding"].float()[None]
        kept = part["token_embeddings"][part["attention_mask"].bool()].float()
        return kept if self._is_multi_vector else normalize(kept, dim=-1)
