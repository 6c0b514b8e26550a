"""The fast path: batches without padding through any encoder that runs on transformers' attention interface.

Only the transformer itself is replaced. Projection, token mask, pooling and normalisation stay the library's own
modules, called on the packed row, so that a checkpoint's recipe is never written twice.
"""

import inspect
import threading
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from sentence_transformers.sentence_transformer.modules import Pooling
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize

from vectorplug.models.attention import NAME, Pack
from vectorplug.models.loading import Checkpoint
from vectorplug.models.piece import Piece
from vectorplug.models.tokenizing import Role, Tokenized, prompt_of, tokenize

__all__ = ["PackedEncoder", "batches"]

LEAST_COSINE = 0.9999
# Texts that are tokenized together: enough to fill many batches of like length.
WINDOW_TEXTS = 512


class PackedEncoder:
    """One checkpoint whose transformer runs packed; `dtype` is the transformer's, everything after it is float32."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype) -> None:
        self._model = checkpoint.model
        self._is_multi_vector = checkpoint.is_multi_vector
        self._dense_dim = checkpoint.dense_dim
        self._tail = list(self._model)[1:]
        # Any: torch types a module's every attribute as Tensor or Module.
        self._backbone: Any = checkpoint.backbone
        self._backbone.set_attn_implementation(NAME)
        self._backbone.to(dtype)
        self._first_position = _first_position(self._backbone)
        self._accepted = set(inspect.signature(self._backbone.forward).parameters)
        # Models keep no state between calls but torch shares its thread pool: two forwards at once only slow both.
        self._lock = threading.Lock()

    @classmethod
    def of(cls, checkpoint: Checkpoint, dtype: torch.dtype) -> "PackedEncoder | None":
        """The fast path where it takes the checkpoint over exactly, else None.

        A model that goes round the attention interface gives wrong numbers in silence, so both are tried: every
        layer has to come through our function, and the outcome has to equal the library's padded one.
        """
        transformer, *tail = checkpoint.model
        takes_text = isinstance(transformer, Transformer) and transformer.modality_config.get("text") == {
            "method": "forward",
            "method_output_name": "last_hidden_state",
        }
        known = (Dense, MultiVectorMask, Normalize) if checkpoint.is_multi_vector else (Dense, Pooling, Normalize)
        if not takes_text or not all(isinstance(module, known) for module in tail):
            return None
        samples = {role: tokenize(checkpoint.model, _samples, role) for role in _roles}
        expected = {role: _padded_hidden(checkpoint, role) for role in _roles}
        backbone = checkpoint.backbone
        before = backbone.config._attn_implementation
        try:
            encoder = cls(checkpoint, torch.float32)
            same = all(encoder._agrees(samples[role], expected[role]) for role in _roles)
        except (TypeError, ValueError, RuntimeError, IndexError):
            same = False  # an architecture whose forward cannot take a packed row
        if not same:
            backbone.set_attn_implementation(before)
            return None
        encoder._backbone.to(dtype)
        return encoder

    def pieces(self, texts: Sequence[str], role: Role, budget: int) -> Iterator[Piece]:
        """The texts in batches of at most `budget` tokens and like length, each from one forward pass."""
        by_size = np.argsort([-len(text) for text in texts], kind="stable")
        for start in range(0, len(by_size), WINDOW_TEXTS):
            window = by_size[start : start + WINDOW_TEXTS]
            tokenized = tokenize(self._model, [texts[i] for i in window], role)
            for chosen in batches(tokenized.lengths, budget):
                tokens, lengths, dense = self._forward(tokenized, chosen, role)
                yield Piece(
                    positions=window[chosen],
                    tokens=tokens.cpu().numpy(),
                    lengths=lengths,
                    dense=dense.cpu().numpy(),
                    truncated=tokenized.truncated[chosen],
                )

    def _forward(
        self, tokenized: Tokenized, chosen: npt.NDArray[np.int64], role: Role
    ) -> tuple[Tensor, npt.NDArray[np.int64], Tensor]:
        """Token vectors float32 [total kept, token_dim], how many each text keeps int64 [b], dense float32 [b, D]."""
        rows, lengths = _rows(tokenized, chosen)
        pack = _pack(lengths, tokenized.attended[chosen])
        with self._lock, torch.inference_mode():
            hidden = self._hidden(tokenized, rows, lengths, pack)[None].float()
            features = self._features(tokenized, rows, hidden, pack)
            if self._is_multi_vector:
                return self._late_interaction(features, lengths, role)
            for module in self._tail:
                features = module(features)
            dense = features["sentence_embedding"][:, : self._dense_dim]
            return normalize(hidden[0], dim=-1), lengths, dense

    def _late_interaction(
        self, features: dict[str, Any], lengths: npt.NDArray[np.int64], role: Role
    ) -> tuple[Tensor, npt.NDArray[np.int64], Tensor]:
        for module in self._tail:
            features = module(features, task=role) if isinstance(module, MultiVectorMask) else module(features)
        kept = features["attention_mask"][0].bool()
        tokens = features["token_embeddings"][0][kept]
        text_of = torch.from_numpy(np.repeat(np.arange(len(lengths)), lengths)).to(kept.device)[kept]
        # A late-interaction checkpoint has no dense head: the mean of its tokens is the strong, honest stand-in.
        dense = torch.zeros(len(lengths), tokens.shape[1], device=tokens.device).index_add_(0, text_of, tokens)
        return tokens, torch.bincount(text_of, minlength=len(lengths)).cpu().numpy(), normalize(dense, dim=-1)

    def _hidden(
        self, tokenized: Tokenized, rows: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64], pack: Pack
    ) -> Tensor:
        """Last hidden states [total, hidden size]."""
        device = self._backbone.device
        positions = np.concatenate([np.arange(length) for length in lengths]) + self._first_position
        inputs = {
            "input_ids": tokenized.ids[rows][None].to(device),
            "position_ids": torch.from_numpy(positions)[None].to(device),
        }
        if tokenized.types is not None:
            inputs["token_type_ids"] = tokenized.types[rows][None].to(device)
        taken = {name: value for name, value in inputs.items() if name in self._accepted}
        output = self._backbone(**taken, vectorplug_pack=pack, return_dict=True)
        hidden: Tensor = output.last_hidden_state[0]
        return hidden

    def _features(
        self, tokenized: Tokenized, rows: npt.NDArray[np.int64], hidden: Tensor, pack: Pack
    ) -> dict[str, Any]:
        """What the library's modules after the transformer read, for one packed row."""
        device = hidden.device
        features: dict[str, Any] = {
            "token_embeddings": hidden,
            "input_ids": tokenized.ids[rows][None].to(device),
            "attention_mask": ~tokenized.expansion[rows][None].to(device),
        }
        if self._is_multi_vector:
            features["query_expansion_positions"] = tokenized.expansion[rows][None].to(device)
        else:
            features["cu_seq_lens_q"] = torch.tensor([0, *accumulate(pack.lengths)], device=device)
        if tokenized.prompt_length is not None:
            features["prompt_length"] = tokenized.prompt_length
        return features

    def _agrees(self, tokenized: Tokenized, expected: Tensor) -> bool:
        """Whether the packed outcome equals the library's, and every attention layer went through the pack."""
        rows, lengths = _rows(tokenized, np.arange(len(_samples)))
        pack = _pack(lengths, tokenized.attended)
        with torch.inference_mode():
            hidden = self._hidden(tokenized, rows, lengths, pack)
        layers = self._backbone.config.get_text_config().num_hidden_layers
        return pack.calls == layers and bool(cosine_similarity(hidden, expected, dim=-1).min() >= LEAST_COSINE)


_roles: tuple[Role, ...] = ("query", "document")
# One token, a sentence, and one long enough to leave every local attention window.
_samples = ["a", "Which of these texts is about the sea?", "the quick brown fox jumps over the lazy dog " * 40]


def batches(lengths: npt.NDArray[np.int64], budget: int) -> Iterator[npt.NDArray[np.int64]]:
    """Positions of texts in runs of at most `budget` tokens, the longest first; one text at the least."""
    order = np.argsort(-lengths, kind="stable")
    start, held = 0, 0
    for i, length in enumerate(lengths[order]):
        if i > start and held + length > budget:
            yield order[start:i]
            start, held = i, 0
        held += int(length)
    if start < len(order):
        yield order[start:]


def _rows(tokenized: Tokenized, chosen: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the tokens of the chosen texts stand in `tokenized`, one text after the other, and their lengths."""
    lengths = tokenized.lengths[chosen]
    return np.concatenate([np.arange(tokenized.starts[i], tokenized.starts[i + 1]) for i in chosen]), lengths


def _pack(lengths: npt.NDArray[np.int64], attended: npt.NDArray[np.int64]) -> Pack:
    return Pack(lengths.tolist(), attended.tolist())


def _padded_hidden(checkpoint: Checkpoint, role: Role) -> Tensor:
    """Last hidden states [total, hidden size] of the samples by the library's own padded forward."""
    model = checkpoint.model
    features = model.preprocess(list(_samples), prompt=prompt_of(model, role), task=role)
    kept = features["attention_mask"].bool()
    if "query_expansion_positions" in features:
        kept = kept | features["query_expansion_positions"].bool()
    device = checkpoint.backbone.device
    features = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in features.items()}
    with torch.inference_mode():
        hidden: Tensor = model[0](features)["token_embeddings"][kept.to(device)]
    return hidden


def _first_position(backbone: nn.Module) -> int:
    """0, or for RoBERTa's relatives, whose learnt positions begin after the padding index, that index + 1."""
    for module in backbone.modules():
        padding = getattr(module, "padding_idx", None)
        if isinstance(padding, int) and isinstance(getattr(module, "position_embeddings", None), nn.Embedding):
            return padding + 1
    return 0
