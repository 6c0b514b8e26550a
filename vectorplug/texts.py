"""What a text has to be before anything is made of it."""

from collections.abc import Sequence

from vectorplug.errors import InputError

__all__ = ["check_texts"]


def check_texts(texts: Sequence[str]) -> None:
    """Raise InputError, which names the text, for what no tokenizer takes."""
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"text {i} is a {type(text).__name__}, expected a str.", index=i)
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"text {i} holds {text[error.start : error.start + 1]!a}, half a character (a lone surrogate), at "
                f"position {error.start}: read the text again as UTF-8, with errors='replace' where it is damaged.",
                index=i,
            ) from error
