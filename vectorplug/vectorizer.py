"""Texts in, vectors out: the one object that most users hold."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from tqdm.auto import tqdm

from vectorplug.encoded import OUTPUTS, Encoded, Output
from vectorplug.errors import ConfigurationError, InputError
from vectorplug.muvera import Compressor, Muvera

if TYPE_CHECKING:
    from vectorplug.models.tokenizing import Role

__all__ = ["Vectorizer"]


class Vectorizer:
    """A ColBERT or dense model that gives token vectors, an FDE and a dense vector of a text from one forward pass.

    `model` is a short name (`vectorplug models`), a hub id, a folder, or `package:NAME`. `fde` folds the token
    vectors: "default" is MUVERA with 20 repetitions, ksim 5, dproj 16 and no fill; None gives no FDE. `dtype` is the
    transformer's: "auto" is bfloat16 where the hardware multiplies it, else float32; what comes out is float32.
    A model that was not trained for MaxSim gives its last hidden states at unit norm, one a token; one that was
    trained for it gives as dense vector the mean of its tokens at unit norm.

    Raises ModelNotFoundError or ModelLoadError. May be used from several threads.
    """

    def __init__(
        self,
        model: str,
        *,
        fde: Compressor | Literal["default"] | None = "default",
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        # torch and transformers take seconds to import; they are needed from here on only.
        from vectorplug.models.encoder import Encoder

        self._encoder = Encoder(model, device=device, dtype=dtype)
        dim = self._encoder.token_dim
        self._fde = Muvera(dim=dim, dproj=min(16, dim), fill=False) if fde == "default" else fde
        if self._fde is not None and self._fde.dim != self._encoder.token_dim:
            raise ConfigurationError(
                f"the FDE is made for tokens of {self._fde.dim} numbers, {model} gives {self._encoder.token_dim}: "
                f"use dim={self._encoder.token_dim}, or fde='default'."
            )

    @property
    def model(self) -> str:
        """The name that loads the same model again, from any folder."""
        return self._encoder.name

    @property
    def fingerprint(self) -> str:
        """Model, revision and recipe in one line; equal where vectors may be mixed (an FDE has one of its own)."""
        return self._encoder.fingerprint

    @property
    def fde(self) -> Compressor | None:
        """What folds token vectors into one."""
        return self._fde

    @property
    def dims(self) -> Mapping[Output, int]:
        """Numbers of each kind of vector (of one token for "tokens")."""
        fde: dict[Output, int] = {} if self._fde is None else {"fde": self._fde.size}
        return {"tokens": self._encoder.token_dim, **fde, "dense": self._encoder.dense_dim}

    def __repr__(self) -> str:
        path = "packed" if self._encoder.is_packed else "library"
        dtype = str(self._encoder.dtype).removeprefix("torch.") if self._encoder.is_packed else "float32"
        return f"Vectorizer({self.model!r}, {dict(self.dims)}, device={self._encoder.device}, {dtype}, {path})"

    def encode_document(
        self,
        texts: str | Sequence[str],
        *,
        outputs: Sequence[Output] | None = None,
        batch_tokens: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> Encoded:
        """n documents (a single str is one) -> Encoded of n, in order; `outputs` of "tokens", "fde", "dense".

        Without `outputs`, everything that the model and the FDE give. `batch_tokens` caps the tokens of one forward
        pass. A document longer than the model's limit is cut, and `truncated` says by how many tokens. InputError
        names the text that cannot be encoded. The bar shows on a terminal unless `show_progress_bar` says.
        """
        return self._encode(texts, "document", outputs, batch_tokens, show_progress_bar)

    def encode_query(
        self,
        texts: str | Sequence[str],
        *,
        outputs: Sequence[Output] | None = None,
        batch_tokens: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> Encoded:
        """n queries -> Encoded of n: as `encode_document`, with the checkpoint's recipe for queries."""
        return self._encode(texts, "query", outputs, batch_tokens, show_progress_bar)

    def _encode(
        self,
        texts: str | Sequence[str],
        role: "Role",
        outputs: Sequence[Output] | None,
        batch_tokens: int | None,
        show_progress_bar: bool | None,
    ) -> Encoded:
        texts = [texts] if isinstance(texts, str) else list(texts)
        wanted = self._checked_outputs(outputs)
        _check_texts(texts)
        if batch_tokens is not None and batch_tokens < 1:
            raise ConfigurationError(f"batch_tokens is {batch_tokens}, expected at least 1.")
        needed: tuple[Output, ...] = (*wanted, "tokens") if "fde" in wanted else wanted
        # tqdm's None means: quiet unless this is a terminal.
        hidden = None if show_progress_bar is None else not show_progress_bar
        with tqdm(total=len(texts), desc=f"Encoding {role}s", unit="text", disable=hidden) as bar:
            encoded = self._encoder.encode(texts, role, needed, batch_tokens=batch_tokens, progress=bar.update)
        fde = None
        if "fde" in wanted and self._fde is not None and encoded.tokens is not None:
            fold = self._fde.encode_queries if role == "query" else self._fde.encode_documents
            fde = fold(encoded.tokens)
        tokens = encoded.tokens if "tokens" in wanted else None
        return Encoded(tokens=tokens, fde=fde, dense=encoded.dense, truncated=encoded.truncated)

    def _checked_outputs(self, outputs: Sequence[Output] | None) -> tuple[Output, ...]:
        if outputs is None:
            return tuple(self.dims)
        unknown = [name for name in outputs if name not in OUTPUTS]
        if unknown or not outputs or isinstance(outputs, str):
            raise ConfigurationError(f"outputs is {outputs!r}, expected a sequence of {', '.join(OUTPUTS)}.")
        if "fde" in outputs and self._fde is None:
            raise ConfigurationError("outputs ask for 'fde' and this vectorizer was made with fde=None; use 'default'.")
        return tuple(outputs)


def _check_texts(texts: Sequence[str]) -> None:
    """Refuse what no tokenizer takes, and name it."""
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
