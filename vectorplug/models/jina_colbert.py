"""jina-colbert-v2: Stanford's layout around an XLM-R with rotary positions, whose own code is never run.

Its `config.json` says xlm-roberta and names remote code; read as an ordinary XLM-R it would keep random weights.
transformers has the same network as `jina_embeddings_v3` and knows the tensors' original names. Queries and documents
begin with a marker, and the queries' expansion tokens are attended to (PyLate, pull request 55).
"""

import string
from typing import Any

import torch
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from transformers import AddedToken, JinaEmbeddingsV3Config, PretrainedConfig

from vectorplug.errors import ModelLoadError
from vectorplug.models.catalog import Source
from vectorplug.models.files import read_json

__all__ = ["is_jina_colbert", "load_jina_colbert"]

# What both kinds of configuration name alike.
SHARED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
)
# Where `artifact.metadata` is silent.
DEFAULTS: dict[str, Any] = {
    "query_token_id": "[QueryMarker]",
    "doc_token_id": "[DocumentMarker]",
    "query_maxlen": 32,
    "doc_maxlen": 8192,
    "attend_to_mask_tokens": True,
    "mask_punctuation": True,
}
ROTARY_BASE = 10_000.0  # of the original code; `jina_embeddings_v3` has another


class RotaryTransformer(Transformer):
    """sentence-transformers' Transformer around the native network."""

    def _load_config(
        self, model_name_or_path: str, backend: str, config_kwargs: dict[str, Any]
    ) -> tuple[PretrainedConfig, bool]:
        theirs, is_adapter = super()._load_config(model_name_or_path, backend, config_kwargs)
        base = getattr(theirs, "rotary_emb_base", ROTARY_BASE)
        native = JinaEmbeddingsV3Config(
            **{name: getattr(theirs, name) for name in SHARED},
            rope_parameters={"rope_type": "default", "rope_theta": float(base)},
        )
        return native, is_adapter


def is_jina_colbert(config: dict[str, Any]) -> bool:
    """Whether a `config.json` is that of this family."""
    code = str(config.get("auto_map", {}).get("AutoModel", ""))
    rotary = config.get("position_embedding_type") == "rotary" or "xlm-roberta-flash-implementation" in code
    return rotary and config.get("model_type") == "xlm-roberta" and "HF_ColBERT" in (config.get("architectures") or [])


def load_jina_colbert(source: Source, device: torch.device) -> MultiVectorEncoder:
    """The network, its projection and its recipe as sentence-transformers' modules, float32."""
    recipe = DEFAULTS | {k: v for k, v in read_json(source, "artifact.metadata").items() if v is not None}
    shared = {
        "revision": source.revision,
        "trust_remote_code": False,
        "local_files_only": source.folder is not None,
    }
    transformer = RotaryTransformer(
        source.place,
        model_kwargs={"dtype": torch.float32, **shared},
        processor_kwargs=dict(shared),
        config_kwargs=dict(shared),
        document_length=recipe["doc_maxlen"],
        query_expansion={
            "strategy": "fixed",
            "attend": recipe["attend_to_mask_tokens"],
            "token": None,
            "length": recipe["query_maxlen"],
        },
    )
    tokenizer = transformer.tokenizer
    markers = {
        "query": _marker(tokenizer, recipe, "query_token_id"),
        "document": _marker(tokenizer, recipe, "doc_token_id"),
    }
    # One token each in a text, whatever the tokenizer's file says of them.
    special = [AddedToken(marker, normalized=False, special=True) for marker in markers.values()]
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    weights = Dense.load_torch_weights(source.place, revision=source.revision)
    projection = weights["linear.weight"].float()
    return MultiVectorEncoder(
        modules=[
            transformer,
            Dense(
                in_features=projection.shape[1],
                out_features=projection.shape[0],
                bias=False,
                activation_function=None,
                init_weight=projection,
                module_input_name="token_embeddings",
            ),
            MultiVectorMask(skiplist_words=list(string.punctuation) if recipe["mask_punctuation"] else []),
            Normalize(module_input_name="token_embeddings"),
        ],
        prompts={role: f"{marker} " for role, marker in markers.items()},
        device=str(device),
    )


def _marker(tokenizer: Any, recipe: dict[str, Any], key: str) -> str:
    """The marker that the tokenizer knows: early files named Stanford's default, which it does not."""
    known = tokenizer.get_vocab()
    for marker in (recipe[key], DEFAULTS[key]):
        if marker in known:
            return str(marker)
    raise ModelLoadError(f"the tokenizer has no {DEFAULTS[key]!r}, with which every text of this model begins.")
