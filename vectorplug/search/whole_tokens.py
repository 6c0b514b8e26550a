"""The tokens that an FDE is folded from, where a vectorizer gives fewer of them, or fewer numbers."""

from collections.abc import Sequence
from typing import Any

from vectorplug.encoded import Encoded
from vectorplug.models.names import Role
from vectorplug.search.text_vectorizer import TextVectorizer

__all__ = ["cuts_tokens", "encode_whole"]


def cuts_tokens(vectorizer: TextVectorizer) -> bool:
    """Whether it pools the tokens that it gives, or cuts their numbers."""
    recipe = getattr(vectorizer, "recipe", None)
    return recipe is not None and bool(recipe.pool_factor or recipe.dimensions)


def encode_whole(
    vectorizer: TextVectorizer,
    texts: Sequence[str],
    role: Role,
    dim: int | None,
    *,
    show_progress_bar: bool | None = None,
) -> Encoded:
    """The tokens of n texts, neither pooled nor cut; `dim` numbers each, as many as the FDE is made for (None: all)."""
    whole: dict[str, Any] = {"dimensions": dim} if cuts_tokens(vectorizer) else {}
    if role == "query":
        return vectorizer.encode_query(texts, outputs=("tokens",), show_progress_bar=show_progress_bar, **whole)
    if whole:
        whole["pool_factor"] = 1
    return vectorizer.encode_document(texts, outputs=("tokens",), show_progress_bar=show_progress_bar, **whole)
