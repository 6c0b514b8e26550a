"""The fast path: batches without padding through any encoder that runs on transformers' attention interface.

Only the transformer itself is replaced. Projection, token mask, pooling and normalisation stay the library's own
modules, called on the packed row, so that a checkpoint's recipe is never written twice.
"""

import inspect
import threading
from collections.abc import Callable, Sequence
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

from vectorplug.models.attention import NAME, Pack, Ragged, ragged_attention
from vectorplug.models.landing import LandingText
from vectorplug.models.loading import Checkpoint
from vectorplug.models.piece import Piece
from vectorplug.models.prepacked import prepack, unpack
from vectorplug.models.tokenizing import Role, TokenizedText, prompt_of, tokenize

__all__ = ["PackedEncoder"]

LEAST_COSINE = 0.9999
# Of two ways to the same attention in 16 bits, each of which rounds in its own places.
LEAST_HALF_COSINE = 0.999


class PackedEncoder:
    """One checkpoint whose transformer runs packed; `dtype` is the transformer's, everything after it is float32."""

    def __init__(self, checkpoint: Checkpoint, dtype: torch.dtype) -> None:
        self._model = checkpoint.model
        self._is_multi_vector = checkpoint.is_multi_vector
        self._dense_dim = checkpoint.dense_dim
        self._token_head = checkpoint.token_head
        self._tail = list(self._model)[1:]
        self._has_mask = any(isinstance(module, MultiVectorMask) for module in self._tail)
        # Any: torch types a module's every attribute as Tensor or Module.
        self._backbone: Any = checkpoint.backbone
        self._backbone.set_attn_implementation(NAME)
        self._backbone.to(dtype)
        self._first_position = _first_position(self._backbone)
        self._accepted = set(inspect.signature(self._backbone.forward).parameters)
        self._ragged: Ragged | None = None
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
        if backbone.device.type == "cpu":
            encoder._prepack(samples["document"])
        ragged = ragged_attention(backbone.device, dtype)
        if ragged is not None and all(encoder._agrees_ragged(texts, ragged) for texts in samples.values()):
            encoder._ragged = ragged
        return encoder

    @property
    def is_ragged(self) -> bool:
        """Whether attention is one call for all sequences of a batch, as on a GPU."""
        return self._ragged is not None

    def forward(self, texts: Sequence[TokenizedText]) -> Piece:
        """One forward pass over texts of one role, packed."""
        lengths = np.array([len(text) for text in texts])
        pack = Pack(lengths.tolist(), [text.attended for text in texts], self._ragged)
        with self._lock, torch.inference_mode():
            hidden = self._hidden(texts, lengths, pack)[None].float()
            features = self._features(texts, hidden, pack)
            if self._is_multi_vector:
                tokens, lengths, dense = self._late_interaction(features, lengths, texts[0].role)
            else:
                for module in self._tail:
                    features = module(features)
                dense = features["sentence_embedding"][:, : self._dense_dim]
                tokens, lengths = self._tokens(hidden[0], lengths)
            if isinstance(texts[0], LandingText):
                return texts[0].landing.put(texts, tokens, lengths, dense)
            return Piece(tokens.cpu().numpy(), lengths, dense.cpu().numpy())

    def _tokens(self, hidden: Tensor, lengths: npt.NDArray[np.int64]) -> tuple[Tensor, npt.NDArray[np.int64]]:
        if self._token_head is None:
            return normalize(hidden, dim=-1), lengths
        first = torch.zeros(len(hidden), dtype=torch.bool)
        first[torch.from_numpy(np.cumsum(lengths) - lengths)] = True
        return self._token_head(hidden, first.to(hidden.device)), lengths - 1

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

    def _hidden(self, texts: Sequence[TokenizedText], lengths: npt.NDArray[np.int64], pack: Pack) -> Tensor:
        """Last hidden states [total, hidden size]."""
        positions = np.concatenate([np.arange(length) for length in lengths]) + self._first_position
        inputs = {
            "input_ids": self._row([text.ids for text in texts]),
            "position_ids": self._row([torch.from_numpy(positions)]),
        }
        types = [text.types for text in texts if text.types is not None]
        if types:
            inputs["token_type_ids"] = self._row(types)
        taken = {name: value for name, value in inputs.items() if name in self._accepted}
        output = self._backbone(**taken, vectorplug_pack=pack, return_dict=True)
        hidden: Tensor = output.last_hidden_state[0]
        return hidden

    def _features(self, texts: Sequence[TokenizedText], hidden: Tensor, pack: Pack) -> dict[str, Any]:
        """What the library's modules after the transformer read, for one packed row."""
        ids = self._row([text.ids for text in texts])
        features: dict[str, Any] = {
            "token_embeddings": hidden,
            "input_ids": ids,
            "attention_mask": self._row([self._scored(text) for text in texts]),
        }
        if not self._is_multi_vector:
            features["cu_seq_lens_q"] = torch.tensor([0, *accumulate(pack.lengths)], device=hidden.device)
        if texts[0].prompt_length is not None:
            features["prompt_length"] = texts[0].prompt_length
        return features

    def _scored(self, text: TokenizedText) -> Tensor:
        """int64 [length]: 1 for the tokens that get a vector, before the checkpoint's own mask.

        Expansion tokens, which attention left out as keys, do where that mask brings them back.
        """
        return (torch.arange(len(text)) < (len(text) if self._has_mask else text.attended)).long()

    def _row(self, parts: Sequence[Tensor]) -> Tensor:
        """The parts one after the other, as a batch of one on the device."""
        return torch.cat(list(parts))[None].to(self._backbone.device)

    def _agrees(self, texts: Sequence[TokenizedText], expected: Tensor) -> bool:
        """Whether the packed outcome equals the library's, and every attention layer went through the pack."""
        lengths = np.array([len(text) for text in texts])
        pack = Pack(lengths.tolist(), [text.attended for text in texts])
        with torch.inference_mode():
            hidden = self._hidden(texts, lengths, pack)
        layers = self._backbone.config.get_text_config().num_hidden_layers
        return pack.calls == layers and bool(cosine_similarity(hidden, expected, dim=-1).min() >= LEAST_COSINE)

    def _prepack(self, texts: Sequence[TokenizedText]) -> None:
        """Lay the weights out for the CPU, unless a part of the network reads them by itself."""
        expected = self._alone(texts)
        prepack(self._backbone)
        if not _same(expected, lambda: self._alone(texts)):
            unpack(self._backbone)

    def _agrees_ragged(self, texts: Sequence[TokenizedText], ragged: Ragged) -> bool:
        """Whether attention in one call gives what it gives sequence by sequence, in the dtype that it will run in."""
        return _same(self._alone(texts), lambda: self._alone(texts, ragged))

    def _alone(self, texts: Sequence[TokenizedText], ragged: Ragged | None = None) -> Tensor:
        """float32 [total, hidden size]: last hidden states, in the dtype that the network has now."""
        lengths = np.array([len(text) for text in texts])
        pack = Pack(lengths.tolist(), [text.attended for text in texts], ragged)
        with torch.inference_mode():
            return self._hidden(texts, lengths, pack).float()


def _same(expected: Tensor, run: Callable[[], Tensor]) -> bool:
    """Whether `run` gives the same hidden states, or anything at all."""
    try:
        found = run()
    except (TypeError, ValueError, RuntimeError):
        return False  # another torch's arguments, or a network that its kernels do not take
    return bool(cosine_similarity(found, expected, dim=-1).min() >= LEAST_HALF_COSINE)


_roles: tuple[Role, ...] = ("query", "document")
# One token, a sentence, and one long enough to leave every local attention window.
_samples = ["a", "Which of these texts is about the sea?", "the quick brown fox jumps over the lazy dog " * 40]


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
