"""Small random checkpoints in the exact file layouts that real ones have."""

import json
import re
import string
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3Model,
    XLMRobertaConfig,
    XLMRobertaModel,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
# Whole words beside the letters, so that sentences are short.
WORDS = re.findall(
    r"\w+",
    "the a of and to in is was for on with sea ship wave wind salt shore bread flour oven yeast wing "
    "lift drag flow heat wall which these texts about this quick brown fox jumps over lazy dog document "
    "number question",
)


def write_tokenizer(folder: Path, limit: int = 64) -> None:
    """A WordPiece tokenizer over few words and all letters, so that any ASCII text has tokens."""
    PreTrainedTokenizerFast(
        tokenizer_object=wordpiece(),
        model_max_length=limit,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        additional_special_tokens=["[unused0]", "[unused1]"],
    ).save_pretrained(folder)


def wordpiece() -> Tokenizer:
    """BERT's lower-casing tokenizer with a vocabulary of under 200; no marker is a special token in it."""
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    vocabulary = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *WORDS]
    ids = {token: i for i, token in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    return tokenizer


# Random networks of two or three layers and 32 numbers a token, one of each family that behaves in its own way.
BACKBONES: dict[str, Callable[[], PreTrainedModel]] = {
    "bert": lambda: BertModel(BertConfig(**BERT_LIKE), add_pooling_layer=False),
    "distilbert": lambda: DistilBertModel(
        DistilBertConfig(vocab_size=200, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=512)
    ),
    "electra": lambda: ElectraModel(ElectraConfig(**BERT_LIKE, embedding_size=24)),
    "modernbert": lambda: ModernBertModel(
        ModernBertConfig(
            vocab_size=200,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=512,
            local_attention=16,
            # At the usual 0.02 attention adds next to nothing, and no test would miss the window.
            initializer_range=0.5,
            global_attn_every_n_layers=3,
            pad_token_id=0,
            bos_token_id=2,
            eos_token_id=3,
            cls_token_id=2,
            sep_token_id=3,
        )
    ),
    "mpnet": lambda: MPNetModel(MPNetConfig(**BERT_LIKE), add_pooling_layer=False),
    "qwen3": lambda: Qwen3Model(
        Qwen3Config(
            vocab_size=200,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=8,
            intermediate_size=64,
            max_position_embeddings=512,
        )
    ),
    "xlm-roberta": lambda: XLMRobertaModel(XLMRobertaConfig(**BERT_LIKE, pad_token_id=0), add_pooling_layer=False),
}
BERT_LIKE = {
    "vocab_size": 200,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}
# MPNet computes attention by itself, round the interface that the packed path needs.
NOT_PACKED = {"mpnet"}


def write_backbone(folder: Path, limit: int, seed: int, family: str) -> None:
    """Tokenizer, configuration and random weights, as `save_pretrained` writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, limit)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BACKBONES[family]().save_pretrained(folder)


def write_tiny_dense(
    folder: Path,
    limit: int = 64,
    seed: int = 0,
    *,
    family: str = "bert",
    pooling: str = "mean",
    prompts: dict[str, str] | None = None,
    include_prompt: bool = True,
) -> Path:
    """sentence-transformers' dense layout: Transformer, pooling, unit norm."""
    write_backbone(folder, limit, seed, family)
    models = "sentence_transformers.models"
    write_modules(
        folder, {"": f"{models}.Transformer", "1_Pooling": f"{models}.Pooling", "2_Normalize": f"{models}.Normalize"}
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": limit, "do_lower_case": False})
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts or {}, "default_prompt_name": None})
    settings = {"embedding_dimension": 32, "pooling_mode": pooling, "include_prompt": include_prompt}
    write_json(folder / "1_Pooling" / "config.json", settings)
    return folder


def write_tiny_colbert(
    folder: Path,
    limit: int = 64,
    seed: int = 0,
    *,
    family: str = "bert",
    pool_factor: int | None = None,
    masked: bool = True,
) -> Path:
    """sentence-transformers' late-interaction layout: markers, expansion to 16, a projection to 16, no punctuation."""
    write_backbone(folder, limit, seed, family)
    base, late = "sentence_transformers.base.modules", "sentence_transformers.multi_vector_encoder.modules"
    modules = {
        "": f"{base}.transformer.Transformer",
        "1_Dense": f"{base}.dense.Dense",
        "2_MultiVectorMask": f"{late}.multi_vector_mask.MultiVectorMask",
        "3_Normalize": f"{base}.normalize.Normalize",
    }
    if not masked:
        del modules["2_MultiVectorMask"]
    if pool_factor is not None:
        modules["4_Pooling"] = f"{late}.token_pooling.HierarchicalTokenPooling"
        write_json(folder / "4_Pooling" / "config.json", {"pool_factor": pool_factor})
    write_modules(folder, modules)
    settings = {
        "model_type": "MultiVectorEncoder",
        "prompts": {"query": "[unused0] ", "document": "[unused1] "},
        "default_prompt_name": None,
        "similarity_fn_name": "maxsim",
    }
    write_json(folder / "config_sentence_transformers.json", settings)
    transformer = {
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "module_output_name": "token_embeddings",
        "query_length": 16,
        "document_length": limit,
        "query_expansion": {"strategy": "fixed", "attend": False, "token": None, "length": 16},
    }
    write_json(folder / "sentence_bert_config.json", transformer)
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    identity = "torch.nn.modules.linear.Identity"
    projection = {"in_features": 32, "out_features": 16, "bias": False, "activation_function": identity, **names}
    write_json(folder / "1_Dense" / "config.json", projection)
    weight = torch.randn(16, 32, generator=torch.Generator().manual_seed(seed))
    save_file({"linear.weight": weight}, folder / "1_Dense" / "model.safetensors")
    mask = {
        "skiplist_words": list(string.punctuation),
        "skiplist_tasks": ["document"],
        "keep_only_token_ids": None,
    }
    write_json(folder / "2_MultiVectorMask" / "config.json", mask)
    write_json(folder / "3_Normalize" / "config.json", names)
    return folder


def write_modules(folder: Path, types: dict[str, str]) -> None:
    rows = [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(types.items())]
    write_json(folder / "modules.json", rows)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
