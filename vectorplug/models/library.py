"""The slower path that is always right: whatever sentence-transformers runs, run by sentence-transformers."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from vectorplug.models.loading import Checkpoint
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import TokenizedText, limited, prompt_of

__all__ = ["LibraryEncoder"]

# The library sorts by length, so short texts are not padded to a long one elsewhere in the batch.
BATCH_TEXTS = 32


class LibraryEncoder:
    """One checkpoint that the packed path does not take over, in float32."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._model = checkpoint.model
        self._is_multi_vector = checkpoint.is_multi_vector
        self._dense_dim = checkpoint.dense_dim
        self._token_head = checkpoint.token_head
        self._lock = threading.Lock()

    def forward(self, texts: Sequence[TokenizedText]) -> Piece:
        """One forward pass over texts of one role and one length, padded to the longest."""
        role = texts[0].role
        model = limited(self._model, role, texts[0].length)
        with self._lock, torch.inference_mode():
            parts: Any = model.encode(
                [text.text for text in texts],
                prompt=prompt_of(model, role),
                task=role,
                output_value=None,
                batch_size=BATCH_TEXTS,
                show_progress_bar=False,
            )
            tokens = [self._tokens(part) for part in parts]
            if self._is_multi_vector:
                dense = [normalize(part.mean(dim=0), dim=-1) for part in tokens]
            else:
                dense = [part["sentence_embedding"].float()[: self._dense_dim] for part in parts]
        lengths = np.array([len(part) for part in tokens])
        return Piece(torch.cat(tokens).cpu().numpy(), lengths, torch.stack(dense).cpu().numpy())

    def _tokens(self, part: dict[str, Tensor]) -> Tensor:
        if "token_embeddings" not in part:  # a static or bag-of-words model: its one vector is all there is
            return part["sentence_embedding"].float()[None]
        kept = part["token_embeddings"][part["attention_mask"].bool()].float()
        if self._token_head is not None:
            tokens: Tensor = self._token_head(kept, torch.arange(len(kept), device=kept.device) == 0)
            return tokens
        return kept if self._is_multi_vector else normalize(kept, dim=-1)
