"""Small random checkpoints in the layouts of other libraries, file by file as the hub holds them.

The files are written by hand and the weights come from a seed alone, so that any version of any library is given the
same checkpoint; the goldens hold its checksum.
"""

import hashlib
import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from checkpoints import BERT_LIKE, WORDS, wordpiece, write_json, write_modules
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing

Shapes = dict[str, tuple[int, ...]]

# What each test and each maker of a golden encodes.
TEXTS = ["the sea, and the ship!", "bread", "", "wave " * 60, "...!?", "Which of these texts is about the sea?"]

# `config_sentence_transformers.json` as the versions of PyLate wrote it.
_FIRST = {
    "__version__": {"sentence_transformers": "3.0.1", "transformers": "4.42.4", "pytorch": "2.3.1+cu121"},
    "prompts": {},
    "default_prompt_name": None,
    "similarity_fn_name": "MaxSim",
    "query_prefix": "[Q] ",
    "document_prefix": "[D] ",
    "query_length": 16,
    "document_length": 40,
    "attend_to_expansion_tokens": False,
    "skiplist_words": list(string.punctuation),
}
_LATER = _FIRST | {"model_type": "ColBERT", "do_query_expansion": True}
PYLATE: dict[str, dict[str, Any]] = {
    "1.0": {"settings": _FIRST},
    "1.3, attending, fewer words skipped": {
        "settings": _LATER | {"attend_to_expansion_tokens": True, "skiplist_words": [",", "."], "query_length": 12}
    },
    "1.3, no expansion, markers of the vocabulary": {
        "settings": _LATER | {"do_query_expansion": False, "query_prefix": "[unused0]", "document_prefix": "[unused1]"},
        "prefixes": (),
    },
    "1.3, no markers": {
        "settings": _LATER | {"query_prefix": "", "document_prefix": ""},
        "prefixes": (),
    },
    # Short enough that every expansion token has a key within the local window of 16: of those that have none,
    # transformers 4 and 5 make different vectors. The documents are longer than the window.
    "1.6, ModernBERT, two projections, residual": {
        "settings": _LATER | {"query_length": 10},
        "family": "modernbert",
        "widths": (24, 16),
        "residual": True,
    },
    "1.6, prompts": {
        "settings": _LATER | {"prompts": {"query": "question about ", "document": "the document: "}},
        "residual": False,
    },
}
# The one that PyLate itself saved: its files are in the golden.
PYLATE_SAVED = "1.6, as saved"
PYLATE_TO_SAVE: dict[str, Any] = {"settings": _LATER, "widths": (24, 16), "residual": False}

_METADATA = {
    "query_token_id": "[unused0]",
    "doc_token_id": "[unused1]",
    "query_token": "[Q]",
    "doc_token": "[D]",
    "dim": 16,
    "similarity": "cosine",
    "query_maxlen": 16,
    "doc_maxlen": 40,
    "mask_punctuation": True,
    "attend_to_mask_tokens": False,
}
STANFORD: dict[str, dict[str, Any]] = {
    "as colbertv2.0": {"metadata": _METADATA},
    "attending": {"metadata": _METADATA | {"attend_to_mask_tokens": True, "query_maxlen": 12, "doc_maxlen": 24}},
    "markers exchanged": {"metadata": _METADATA | {"query_token_id": "[unused1]", "doc_token_id": "[unused0]"}},
}


def write_pylate(
    folder: Path,
    *,
    family: str = "bert",
    settings: Mapping[str, object],
    prefixes: Sequence[str] = ("[Q] ", "[D] "),
    widths: Sequence[int] = (16,),
    residual: bool | None = None,
    seed: int = 0,
) -> Path:
    """PyLate's layout: a Transformer and one Dense per width; `settings` is `config_sentence_transformers.json`.

    `residual` None leaves `use_residual` out, as versions before 1.3 do.
    """
    config = {"bert": bert_config(), "modernbert": modernbert_config()}[family]
    tokenizer = wordpiece()
    tokenizer.add_tokens([AddedToken(prefix, normalized=True) for prefix in prefixes])
    config["vocab_size"] = tokenizer.get_vocab_size()
    _write_bert_tokenizer(folder, tokenizer, types=family == "bert")
    write_json(folder / "config.json", config)
    backbone = {"bert": bert_shapes, "modernbert": modernbert_shapes}[family](config)
    save_file(random_tensors(backbone, seed), folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 39, "do_lower_case": False})
    write_json(folder / "config_sentence_transformers.json", settings)
    modules = {"": "sentence_transformers.models.Transformer"}
    taken = 32
    for i, given in enumerate(widths, start=1):
        modules[f"{i}_Dense"] = "pylate.models.Dense.Dense"
        dense: dict[str, object] = {"in_features": taken, "out_features": given, "bias": False}
        dense["activation_function"] = "torch.nn.modules.linear.Identity"
        shapes = {"linear.weight": (given, taken)}
        if residual is not None:
            dense["use_residual"] = residual
        if residual and given != taken:
            shapes["residual.weight"] = (given, taken)
        write_json(folder / f"{i}_Dense" / "config.json", dense)
        save_file(random_tensors(shapes, seed + i), folder / f"{i}_Dense" / "model.safetensors")
        taken = given
    write_modules(folder, modules)
    return folder


def write_stanford(folder: Path, *, metadata: Mapping[str, object] | None, seed: int = 0) -> Path:
    """colbert-ai's layout: a BERT under `bert.`, the projection `linear.weight` beside it, and `artifact.metadata`."""
    tokenizer = wordpiece()
    config = bert_config() | {"architectures": ["HF_ColBERT"], "vocab_size": tokenizer.get_vocab_size()}
    _write_bert_tokenizer(folder, tokenizer)
    write_json(folder / "config.json", config)
    shapes = {f"bert.{name}": shape for name, shape in bert_shapes(config).items()} | {"linear.weight": (16, 32)}
    save_file(random_tensors(shapes, seed), folder / "model.safetensors", metadata={"format": "pt"})
    if metadata is not None:
        write_json(folder / "artifact.metadata", metadata)
    return folder


def write_jina_colbert(folder: Path, *, metadata: Mapping[str, object] | None, base: float | None = None) -> Path:
    """jina-colbert-v2's layout: remote code in `config.json`, the original names of the tensors, two markers."""
    vocabulary = write_xlmr_tokenizer(folder, ["[QueryMarker]", "[DocumentMarker]"])
    implementation = "jinaai/xlm-roberta-flash-implementation"
    config = xlmr_config(vocabulary) | {
        "architectures": ["HF_ColBERT"],
        "auto_map": {
            "AutoConfig": f"{implementation}--configuration_xlm_roberta.XLMRobertaFlashConfig",
            "AutoModel": f"{implementation}--modeling_xlm_roberta.XLMRobertaModel",
        },
        "position_embedding_type": "rotary",
        "use_flash_attn": True,
        "lora_adaptations": None,
    }
    if base is not None:
        config["rotary_emb_base"] = base
    write_json(folder / "config.json", config)
    shapes: Shapes = {
        "linear.weight": (16, 32),
        "roberta.embeddings.word_embeddings.weight": (vocabulary, 32),
        "roberta.embeddings.token_type_embeddings.weight": (1, 32),
        "roberta.emb_ln.weight": (32,),
        "roberta.emb_ln.bias": (32,),
        "roberta.pooler.dense.weight": (32, 32),
        "roberta.pooler.dense.bias": (32,),
    }
    for layer in range(2):
        for name, shape in {
            "mixer.Wqkv": (96, 32),
            "mixer.out_proj": (32, 32),
            "norm1": (32,),
            "mlp.fc1": (64, 32),
            "mlp.fc2": (32, 64),
            "norm2": (32,),
        }.items():
            shapes[f"roberta.encoder.layers.{layer}.{name}.weight"] = shape
            shapes[f"roberta.encoder.layers.{layer}.{name}.bias"] = shape[:1]
    save_file(random_tensors(shapes, 0), folder / "model.safetensors", metadata={"format": "pt"})
    if metadata is not None:
        write_json(folder / "artifact.metadata", metadata)
    return folder


def write_bge_m3(folder: Path, *, modules: bool = True) -> Path:
    """bge-m3's layout: an XLM-R as a pickle, `colbert_linear.pt` and `sparse_linear.pt`, and its dense modules."""
    vocabulary = write_xlmr_tokenizer(folder, [])
    config = xlmr_config(vocabulary) | {"architectures": ["XLMRobertaModel"]}
    write_json(folder / "config.json", config)
    torch.save(random_tensors(bert_shapes(config), 0), folder / "pytorch_model.bin")
    linear = random_tensors({"weight": (32, 32), "bias": (32,)}, 1)
    torch.save({name: tensor.half() for name, tensor in linear.items()}, folder / "colbert_linear.pt")
    torch.save(random_tensors({"weight": (1, 32), "bias": (1,)}, 2), folder / "sparse_linear.pt")
    if modules:
        models = "sentence_transformers.models"
        types = {"": "Transformer", "1_Pooling": "Pooling", "2_Normalize": "Normalize"}
        write_modules(folder, {path: f"{models}.{name}" for path, name in types.items()})
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False})
        pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
        write_json(folder / "1_Pooling" / "config.json", pooling)
        versions = {"sentence_transformers": "2.2.2", "transformers": "4.33.0", "pytorch": "2.1.2+cu121"}
        write_json(folder / "config_sentence_transformers.json", {"__version__": versions})
    return folder


def write_xlmr_tokenizer(folder: Path, markers: Sequence[str]) -> int:
    """XLM-R's kind of tokenizer over few pieces; the size of its vocabulary with `markers`, which come last."""
    letters = [*string.ascii_letters, *string.digits, *string.punctuation]
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *(f"\u2581{word}" for word in WORDS), *letters]
    scored = [(piece, 0.0 if piece.startswith("<") else -2.0) for piece in dict.fromkeys(pieces)]
    tokenizer = Tokenizer(Unigram([*scored, ("<mask>", 0.0)], unk_id=3, byte_fallback=False))
    tokenizer.pre_tokenizer = Metaspace(prepend_scheme="always")
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True)])
    tokenizer.add_tokens([AddedToken(marker, normalized=False, special=True) for marker in markers])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    special |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    settings = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 40, "clean_up_tokenization_spaces": True}
    write_json(folder / "tokenizer_config.json", special | settings)
    write_json(folder / "special_tokens_map.json", special)
    return int(tokenizer.get_vocab_size())


def _write_bert_tokenizer(folder: Path, tokenizer: Tokenizer, types: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
    names["mask_token"] = "[MASK]"
    settings: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "do_lower_case": True,
        "model_max_length": 512,
    }
    settings["model_input_names"] = ["input_ids", *(["token_type_ids"] if types else []), "attention_mask"]
    write_json(folder / "tokenizer_config.json", names | settings)
    write_json(folder / "special_tokens_map.json", names)


def bert_config() -> dict[str, object]:
    return BERT_LIKE | {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "torch_dtype": "float32",
    }


def xlmr_config(vocabulary: int) -> dict[str, object]:
    return BERT_LIKE | {
        "model_type": "xlm-roberta",
        "vocab_size": vocabulary,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 66,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
        "bos_token_id": 0,
        "pad_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }


def modernbert_config() -> dict[str, object]:
    return {
        "model_type": "modernbert",
        "architectures": ["ModernBertModel"],
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
        "local_attention": 16,
        "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0,
        "local_rope_theta": 10000.0,
        "hidden_activation": "gelu",
        "norm_eps": 1e-5,
        "norm_bias": False,
        "attention_bias": False,
        "mlp_bias": False,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
        "torch_dtype": "float32",
    }


def bert_shapes(config: Mapping[str, object]) -> Shapes:
    """The tensors of a BERT, and of an XLM-R, under the names that its checkpoints have."""
    width, inner = 32, 64
    shapes: Shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    for layer in range(2):
        for name, shape in {
            "attention.self.query": (width, width),
            "attention.self.key": (width, width),
            "attention.self.value": (width, width),
            "attention.output.dense": (width, width),
            "attention.output.LayerNorm": (width,),
            "intermediate.dense": (inner, width),
            "output.dense": (width, inner),
            "output.LayerNorm": (width,),
        }.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = shape
            shapes[f"encoder.layer.{layer}.{name}.bias"] = shape[:1]
    return shapes


def modernbert_shapes(config: Mapping[str, object]) -> Shapes:
    """The tensors of a ModernBERT; its first layer has no norm before attention."""
    shapes: Shapes = {
        "embeddings.tok_embeddings.weight": (config["vocab_size"], 32),
        "embeddings.norm.weight": (32,),
        "final_norm.weight": (32,),
    }
    for layer in range(3):
        shapes |= {
            f"layers.{layer}.attn.Wqkv.weight": (96, 32),
            f"layers.{layer}.attn.Wo.weight": (32, 32),
            f"layers.{layer}.mlp_norm.weight": (32,),
            f"layers.{layer}.mlp.Wi.weight": (96, 32),
            f"layers.{layer}.mlp.Wo.weight": (32, 48),
        }
        if layer:
            shapes[f"layers.{layer}.attn_norm.weight"] = (32,)
    return shapes


def random_tensors(shapes: Shapes, seed: int) -> dict[str, torch.Tensor]:
    """float32 of each shape, the same from one seed everywhere; norms are near one, the rest near zero."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in sorted(shapes.items())}
    norms = [name for name in tensors if re.search(r"(norm\d?|LayerNorm|emb_ln)\.weight$", name)]
    return tensors | {name: tensors[name] + 1 for name in norms}


def checksum(folder: Path) -> str:
    """SHA-256 of every tensor of a checkpoint, by file and name."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".safetensors", ".bin", ".pt")):
        tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{path.relative_to(folder).as_posix()}:{name}:{tuple(tensor.shape)}".encode())
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
