"""Texts in, vectors out: the one object that most users hold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import numpy.typing as npt
from tqdm.auto import tqdm

from vectorplug.compressor import Compressor, check_made_for
from vectorplug.encoded import Encoded, Output, TokenDtype, wanted_outputs
from vectorplug.errors import ConfigurationError, FingerprintError
from vectorplug.models.recipe import Recipe
from vectorplug.muvera import Muvera
from vectorplug.texts import check_texts

if TYPE_CHECKING:
    from vectorplug.models.encoder import Encoder
    from vectorplug.models.tokenizing import Role
    from vectorplug.remote import RemoteVectorizer
    from vectorplug.residency.cache import ModelCache

__all__ = ["TokenDtype", "Vectorizer", "default_fde"]


def default_fde(dim: int) -> Muvera:
    """MUVERA with 20 repetitions, ksim 5, dproj 16 and no fill, for tokens of `dim` numbers."""
    return Muvera(dim=dim, dproj=min(16, dim), fill=False)


class Vectorizer:
    """A ColBERT or dense model that gives token vectors, an FDE and a dense vector of a text from one forward pass.

    `model` is a short name (`vectorplug models`), a hub id, a folder, or `package:NAME`; what is on the hub may be
    pinned to a branch, a tag or a commit: `org/name@REVISION`. `fde` folds the token vectors: "default" is MUVERA with
    20 repetitions, ksim 5, dproj 16 and no fill; a function makes it for tokens of so many numbers; None gives no FDE.
    `dtype` is the transformer's: "auto" is bfloat16
    where the hardware multiplies it, else float32; what comes out is float32.
    A model that was not trained for MaxSim gives its last hidden states at unit norm, one a token; one that was
    trained for it gives as dense vector its own (bge-m3), or the mean of its tokens at unit norm.
    With a `cache` the model is leased from it for each call, so that several vectorizers share one loaded model and an
    unused one may leave memory; `device` and `dtype` are then the cache's.
    `pool_factor` and `dimensions` are those of all calls that name none. `document_length` and `query_length` are the
    most tokens that are read of a text, markers included, at least 4 and no more than the checkpoint's own limits;
    queries that a checkpoint expands are expanded to no more. What they cut stands in the fingerprint.

    Raises ModelNotFoundError or ModelLoadError, and with a cache what its `lease` raises. May be used from several
    threads.
    """

    def __init__(
        self,
        model: str,
        *,
        fde: Compressor | Callable[[int], Compressor] | Literal["default"] | None = "default",
        device: str = "auto",
        dtype: str = "auto",
        cache: "ModelCache | None" = None,
        pool_factor: float | None = None,
        document_length: int | None = None,
        query_length: int | None = None,
        dimensions: int | None = None,
    ) -> None:
        # torch and transformers take seconds to import; they are needed from here on only.
        from vectorplug.models.encoder import Encoder

        if cache is not None and (device, dtype) != ("auto", "auto"):
            raise ConfigurationError(
                f"device={device!r} and dtype={dtype!r} stand beside a cache, which has its own: name them there."
            )
        wanted = Recipe.of(
            pool_factor=pool_factor,
            document_length=document_length,
            query_length=query_length,
            dimensions=dimensions,
        )
        self._cache = cache
        self._encoder: Encoder | None = None
        if cache is None:
            self._encoder = Encoder(model, device=device, dtype=dtype)
            self._facts = self._encoder.facts
        else:
            self._facts = cache.facts(model)
        dim = self._facts.token_dim
        self._recipe = wanted.within(
            tokens=dim,
            dense=self._facts.dense_dim,
            document=self._facts.document_limit,
            query=self._facts.query_limit,
        )
        if fde is None or isinstance(fde, Compressor):
            self._fde = fde
        else:
            self._fde = default_fde(dim) if fde == "default" else fde(dim)
        self._check_fde()

    @classmethod
    def remote(
        cls,
        url: str,
        model: str | None = None,
        *,
        fde: Compressor | Literal["default"] | None = "default",
        api_key: str | None = None,
        timeout: float = 300.0,
        pool_factor: float | None = None,
        dimensions: int | None = None,
    ) -> "RemoteVectorizer":
        """A vectorizer of the same methods, whose model runs in the `vectorplug serve` at `url`.

        Without `model` it is the server's default. `fde` "default" is the server's. See `RemoteVectorizer`.
        """
        from vectorplug.remote import RemoteVectorizer

        return RemoteVectorizer(
            url, model, fde=fde, api_key=api_key, timeout=timeout, pool_factor=pool_factor, dimensions=dimensions
        )

    def with_fde(self, fde: Compressor | None) -> Self:
        """The same model with another FDE; nothing is loaded again.

        ConfigurationError for one of tokens of another size, or fitted to those of another model.
        """
        other = copy(self)
        other._fde = fde
        other._check_fde()
        return other

    def with_query_length(self, length: int) -> Self:
        """The same model, of whose queries at most `length` tokens are read; nothing is loaded again.

        ConfigurationError for fewer than 4, or more than the checkpoint reads.
        """
        facts = self._facts
        wanted = Recipe.of(**{**self._recipe.model_dump(), "query_length": length})
        other = copy(self)
        other._recipe = wanted.within(
            tokens=facts.token_dim, dense=facts.dense_dim, document=facts.document_limit, query=facts.query_limit
        )
        return other

    @property
    def model(self) -> str:
        """The name that loads the same model again, from any folder."""
        return self._facts.name

    @property
    def fingerprint(self) -> str:
        """Model, revision and recipe in one line; equal where vectors may be mixed (an FDE has one of its own)."""
        return self._facts.fingerprint + self._recipe.fingerprint

    @property
    def recipe(self) -> Recipe:
        """What is cut in all calls, beyond the checkpoint's own recipe."""
        return self._recipe

    @property
    def fde(self) -> Compressor | None:
        """What folds token vectors into one."""
        return self._fde

    @property
    def dims(self) -> Mapping[Output, int]:
        """Numbers of each kind of vector (of one token for "tokens")."""
        fde: dict[Output, int] = {} if self._fde is None else {"fde": self._fde.size}
        cut = self._recipe.dimensions
        return {"tokens": cut or self._facts.token_dim, **fde, "dense": cut or self._facts.dense_dim}

    @property
    def dtype(self) -> str:
        """What the transformer computes in, such as "bfloat16"."""
        return str(self._facts.dtype).removeprefix("torch.")

    def __repr__(self) -> str:
        path = "packed" if self._facts.is_packed else "library"
        return f"Vectorizer({self.model!r}, {dict(self.dims)}, device={self._facts.device}, {self.dtype}, {path})"

    def encode_document(
        self,
        texts: str | Sequence[str],
        *,
        outputs: Sequence[Output] | None = None,
        batch_tokens: int | None = None,
        show_progress_bar: bool | None = None,
        dimensions: int | None = None,
        pool_factor: float | None = None,
        token_dtype: TokenDtype = "float32",
    ) -> Encoded:
        """n documents (a single str is one) -> Encoded of n, in order; `outputs` of "tokens", "fde", "dense".

        Without `outputs`, everything that the model and the FDE give. `batch_tokens` caps the tokens of one forward
        pass. A document longer than the model's limit is cut, and `truncated` says by how many tokens. InputError
        names the text that cannot be encoded. The bar shows on a terminal unless `show_progress_bar` says.
        `dimensions` cuts tokens and dense vectors to their first numbers (for models trained so: Matryoshka) and
        `pool_factor` keeps one token of so many, both at unit norm; the FDE is folded from the whole tokens before.
        `token_dtype` int8 is a quarter of the bytes, with a scale a token.
        """
        pool_factor = pool_factor if pool_factor is not None else self._recipe.pool_factor
        return self._encode(
            texts, "document", outputs, batch_tokens, show_progress_bar, dimensions, pool_factor, token_dtype
        )

    def encode_query(
        self,
        texts: str | Sequence[str],
        *,
        outputs: Sequence[Output] | None = None,
        batch_tokens: int | None = None,
        show_progress_bar: bool | None = None,
        dimensions: int | None = None,
        token_dtype: TokenDtype = "float32",
    ) -> Encoded:
        """n queries -> Encoded of n: as `encode_document`, with the checkpoint's recipe for queries."""
        return self._encode(texts, "query", outputs, batch_tokens, show_progress_bar, dimensions, None, token_dtype)

    def _encode(
        self,
        texts: str | Sequence[str],
        role: "Role",
        outputs: Sequence[Output] | None,
        batch_tokens: int | None,
        show_progress_bar: bool | None,
        dimensions: int | None,
        pool_factor: float | None,
        token_dtype: TokenDtype,
    ) -> Encoded:
        from vectorplug.models.options import check_options, shaped

        texts = [texts] if isinstance(texts, str) else list(texts)
        wanted = wanted_outputs(outputs, self.dims)
        check_texts(texts)
        if batch_tokens is not None and batch_tokens < 1:
            raise ConfigurationError(f"batch_tokens is {batch_tokens}, expected at least 1.")
        whole_dims = {"tokens": self._facts.token_dim, "dense": self._facts.dense_dim}
        check_options({name: dim for name, dim in whole_dims.items() if name in wanted}, dimensions, pool_factor)
        dimensions = dimensions or self._recipe.dimensions
        # tqdm's None means: quiet unless this is a terminal.
        hidden = None if show_progress_bar is None else not show_progress_bar
        with (
            self._lease() as encoder,
            tqdm(total=len(texts), desc=f"Encoding {role}s", unit="text", disable=hidden) as bar,
        ):
            fold = encoder.fold(self._fde, role) if "fde" in wanted else None
            # What the device does not fold is folded here, from the tokens.
            needed: tuple[Output, ...] = (*wanted, "tokens") if "fde" in wanted and fold is None else wanted
            encoded = encoder.encode(
                texts,
                role,
                needed,
                batch_tokens=batch_tokens,
                progress=bar.update,
                length=self._length(role),
                fold=fold,
            )
        fde = encoded.fde
        if "fde" in wanted and fde is None and self._fde is not None and encoded.tokens is not None:
            make = self._fde.encode_queries if role == "query" else self._fde.encode_documents
            fde = make(encoded.tokens)
        tokens = encoded.tokens if "tokens" in wanted else None
        whole = replace(encoded, tokens=tokens, fde=fde)
        return shaped(whole, dimensions, pool_factor, token_dtype)

    def _check_fde(self) -> None:
        if self._fde is not None:
            check_made_for(self._fde, self._facts.name, self._facts.fingerprint, self._facts.token_dim)

    def _length(self, role: "Role") -> int | None:
        return self._recipe.query_length if role == "query" else self._recipe.document_length

    @contextmanager
    def _lease(self) -> Iterator["Encoder"]:
        """Whoever encodes: this vectorizer's own, or the cache's, which may have loaded it again meanwhile."""
        if self._encoder is not None:
            yield self._encoder
        elif self._cache is not None:
            with self._cache.lease(self.model) as encoder:
                if encoder.fingerprint != self._facts.fingerprint:
                    raise FingerprintError(
                        f"the files of {self.model} have changed: it was {self._facts.fingerprint} and is now "
                        f"{encoder.fingerprint}. Make the vectorizer again; vectors of the two cannot be mixed."
                    )
                yield encoder

    def token_spans(self, texts: str | Sequence[str], role: "Role") -> list[npt.NDArray[np.int32]]:
        """n times int32 [tokens, 2]: characters [start, end) of the text that each of its token vectors stands for.

        In the order of the vectors before any pooling. -1, -1: none (markers, prompt, expansion), or not known, as
        where the checkpoint itself merges tokens.
        """
        with self._lease() as encoder:
            return encoder.spans([texts] if isinstance(texts, str) else list(texts), role, self._length(role))

    def token_attention(self, documents: str | Sequence[str]) -> list[npt.NDArray[np.float32]] | None:
        """n times float32 [tokens]: the share of the last layer's attention that each of a document's vectors receives.

        In the order of the vectors before any pooling; for choosing which to keep. None where the checkpoint has no
        attention that transformers can show. Each document is a forward pass of its own.
        """
        texts = [documents] if isinstance(documents, str) else list(documents)
        with self._lease() as encoder:
            return encoder.attention(texts, self._length("document"))
