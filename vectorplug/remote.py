"""A vectorizer whose model runs in a `vectorplug serve` elsewhere; this side needs no torch and no GPU."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx
import stamina
from tqdm.auto import tqdm

from vectorplug.blobs import encoded_of, parse
from vectorplug.compressor import Compressor, check_made_for, compressor_of, needs_fit
from vectorplug.encoded import Encoded, Output, TokenDtype, wanted_outputs
from vectorplug.errors import ConfigurationError, FingerprintError, InputError, VectorplugError
from vectorplug.models.options import check_options, shaped
from vectorplug.models.recipe import Recipe
from vectorplug.muvera import Muvera
from vectorplug.refusals import error_of
from vectorplug.texts import check_texts

if TYPE_CHECKING:
    from vectorplug.models.tokenizing import Role

__all__ = ["RemoteVectorizer"]

SAFETENSORS = "application/vnd.safetensors"
# One request: some forward passes of a CPU, and an answer of some ten megabytes.
TEXTS_A_REQUEST = 64
CHARACTERS_A_REQUEST = 65_536
# Enough that the server has the next texts while an answer travels.
REQUESTS_AT_ONCE = 4
# Faults of a connection, a reused one that the server has closed among them. What was sent may be sent again, since
# encoding changes nothing; a server that is slow or says no is not asked again.
FAULTS = (httpx.NetworkError, httpx.RemoteProtocolError)
ATTEMPTS = 5


class RemoteVectorizer:
    """The methods of `Vectorizer`, by HTTP; may be used from several threads, and closed, also by `with`.

    url      of a `vectorplug serve`, such as http://localhost:8090
    model    one that the server names; None is its default
    fde      "default" is the server's, which gives its fit, too; it and a `Muvera` are computed there, another
             `Compressor` here
    api_key  where the server asks for one
    timeout  seconds that the server has for one request, the load of its model included
    pool_factor, dimensions  those of all calls that name none, as of `Vectorizer`; lengths are the server's

    Large lists are sent in several requests, a few at once. Errors are those of the local vectorizer, with the
    server's message; ConfigurationError, too, for a wrong URL or key. OverloadedError says when to come back. What
    else goes wrong on the way is a VectorplugError. Only faults of the connection are tried again.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        fde: Compressor | Literal["default"] | None = "default",
        api_key: str | None = None,
        timeout: float = 300.0,
        pool_factor: float | None = None,
        dimensions: int | None = None,
    ) -> None:
        self._url = _checked_url(url)
        self._shown_url = str(self._url.copy_with(username=None, password=None))
        self._timeout = timeout
        self._asked_model = model
        self._fingerprint: str | None = None
        self._their_fde: str | None = None
        wanted = Recipe.of(pool_factor=pool_factor, dimensions=dimensions)
        self._max_texts = TEXTS_A_REQUEST
        self._first: RemoteVectorizer | None = None
        headers = {"accept": SAFETENSORS, **_authorization(api_key)}
        # Many threads may share the connections: waiting for one is no time-out of the server.
        self._client = httpx.Client(base_url=self._url, headers=headers, timeout=httpx.Timeout(timeout, pool=None))
        # Nobody closes a vectorizer that a store was given: its connections end with it.
        weakref.finalize(self, self._client.close)
        try:
            self._fde = self._introduced(fde)
            self._recipe = wanted.within(tokens=self._token_dim, dense=self._dense_dim, document=0, query=0)
        except BaseException:
            self.close()
            raise

    def with_fde(self, fde: Compressor | None) -> Self:
        """The same model, over the same connections, with another FDE. ConfigurationError for one of other tokens."""
        other = copy(self)
        other._fde = self._checked(fde)
        other._first = self  # whose end would close the connections
        return other

    @property
    def model(self) -> str:
        """The name that loads the same model elsewhere; where it is a folder of the server, its name there."""
        return self._model

    @property
    def fingerprint(self) -> str:
        """Model, revision and recipe in one line; equal to that of a local vectorizer of the same model."""
        return f"{self._fingerprint}{self._recipe.fingerprint}"

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
        return {"tokens": cut or self._token_dim, **fde, "dense": cut or self._dense_dim}

    def __repr__(self) -> str:
        return f"RemoteVectorizer({self._shown_url!r}, {self.model!r}, {dict(self.dims)})"

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
        """n documents -> Encoded of n, as `Vectorizer.encode_document`; the server chooses its own `batch_tokens`."""
        _check_batch_tokens(batch_tokens)
        pool_factor = pool_factor if pool_factor is not None else self._recipe.pool_factor
        return self._encode(texts, "document", outputs, show_progress_bar, dimensions, pool_factor, token_dtype)

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
        """n queries -> Encoded of n, as `Vectorizer.encode_query`; the server chooses its own `batch_tokens`."""
        _check_batch_tokens(batch_tokens)
        return self._encode(texts, "query", outputs, show_progress_bar, dimensions, None, token_dtype)

    def close(self) -> None:
        """Give back the connections; encoding raises from then on."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _introduced(self, fde: Compressor | Literal["default"] | None) -> Compressor | None:
        """Ask the server, by encoding no text, who its model is; the FDE that this vectorizer is to use."""
        asked: list[Output] = ["tokens", "dense", "fde"] if fde == "default" else ["tokens", "dense"]
        encoded, facts = self._request([], "document", {"outputs": asked})
        if encoded.tokens is None or encoded.dense is None:
            raise self._strange("leaves out vectors")
        self._token_dim, self._dense_dim = encoded.tokens.dim, encoded.dense.shape[1]
        self._model, self._fingerprint = facts["model"], facts["fingerprint"]
        if fde == "default":
            self._their_fde = facts["fde_fingerprint"]
            fde = compressor_of(self._their_fde, self._fit(self._their_fde) if needs_fit(self._their_fde) else None)
        return self._checked(fde)

    def _fit(self, fingerprint: str) -> bytes:
        """What the server's FDE has learnt, so that a store can keep it beside the vectors."""
        answer = self._answer(lambda: self._client.get(f"v1/fits/{fingerprint}"))
        if answer.status_code != 200:
            raise error_of(answer, self._shown_url)
        return answer.content

    def _checked(self, fde: Compressor | None) -> Compressor | None:
        assert self._fingerprint is not None  # the server has said who it is
        if fde is not None:
            check_made_for(fde, self._model, self._fingerprint, self._token_dim)
        return fde

    def _encode(
        self,
        texts: str | Sequence[str],
        role: "Role",
        outputs: Sequence[Output] | None,
        show_progress_bar: bool | None,
        dimensions: int | None,
        pool_factor: float | None,
        token_dtype: TokenDtype,
    ) -> Encoded:
        texts = [texts] if isinstance(texts, str) else list(texts)
        wanted = wanted_outputs(outputs, self.dims)
        check_texts(texts)
        whole_dims = {"tokens": self._token_dim, "dense": self._dense_dim}
        check_options({name: dim for name, dim in whole_dims.items() if name in wanted}, dimensions, pool_factor)
        dimensions = dimensions or self._recipe.dimensions
        fingerprint = self._fde.fingerprint if "fde" in wanted and self._fde is not None else None
        folded_here = fingerprint not in (None, self._their_fde) and type(self._fde) is not Muvera
        options: dict[str, Any] = {"outputs": wanted}
        if folded_here:
            # From the whole tokens, which are shaped afterwards.
            options["outputs"] = ["tokens", *(name for name in wanted if name == "dense")]
        else:
            options |= {"dimensions": dimensions, "pool_factor": pool_factor}
            # bfloat16 is no dtype of the wire.
            options["token_dtype"] = "float32" if token_dtype == "bfloat16" else token_dtype
            options["fde"] = fingerprint
        whole = self._requests(texts, role, options, show_progress_bar)
        if folded_here:
            whole = replace(self._folded(whole, role), tokens=whole.tokens if "tokens" in wanted else None)
            return shaped(whole, dimensions, pool_factor, token_dtype)
        return shaped(whole, None, None, token_dtype)

    def _folded(self, whole: Encoded, role: "Role") -> Encoded:
        assert self._fde is not None
        assert whole.tokens is not None
        fold = self._fde.encode_queries if role == "query" else self._fde.encode_documents
        return replace(whole, fde=fold(whole.tokens))

    def _requests(
        self, texts: Sequence[str], role: "Role", options: Mapping[str, Any], show_progress_bar: bool | None
    ) -> Encoded:
        """All texts, in order, by as many requests as it takes."""
        parts = _parts(texts, self._max_texts)

        def one(part: slice) -> Encoded:
            try:
                return self._request(texts[part], role, options)[0]
            except InputError as error:
                if error.index is not None:
                    error.index += part.start
                raise

        # tqdm's None means: quiet unless this is a terminal.
        hidden = None if show_progress_bar is None else not show_progress_bar
        encoded = []
        with (
            tqdm(total=len(texts), desc=f"Encoding {role}s", unit="text", disable=hidden) as bar,
            ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool,
        ):
            # One request needs no thread of its own.
            for piece in pool.map(one, parts) if len(parts) > 1 else map(one, parts):
                encoded.append(piece)
                bar.update(len(piece))
        return Encoded.concatenate(encoded)

    def _request(
        self, texts: Sequence[str], role: "Role", options: Mapping[str, Any]
    ) -> tuple[Encoded, Mapping[str, str]]:
        body = {"model": self._asked_model, "input": texts, "role": role, **options}
        sent = {name: value for name, value in body.items() if value is not None}
        answer = self._answer(lambda: self._client.post("v1/encode", json=sent))
        if answer.status_code != 200:
            raise error_of(answer, self._shown_url)
        if answer.headers.get("content-type") != SAFETENSORS:
            raise self._strange("is no safetensors")
        try:
            arrays, facts = parse(answer.content)
            encoded, found = encoded_of(arrays), facts["fingerprint"]
        except (InputError, KeyError) as error:
            raise self._strange(f"cannot be read: {error}") from error
        if self._fingerprint not in (None, found):
            raise FingerprintError(
                f"the model behind {self._shown_url} has changed: it was {self._fingerprint} and is now {found}. "
                "Make the vectorizer again; vectors of the two cannot be mixed."
            )
        self._max_texts = min(TEXTS_A_REQUEST, int(answer.headers.get("x-vectorplug-max-texts", TEXTS_A_REQUEST)))
        return encoded, facts

    def _answer(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        if self._client.is_closed:
            raise VectorplugError("this remote vectorizer is closed: make another.")
        try:
            for attempt in stamina.retry_context(
                on=FAULTS, attempts=ATTEMPTS, timeout=None, wait_initial=0.1, wait_max=2.0, wait_jitter=0.1
            ):
                with attempt:
                    return ask()
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise VectorplugError(
                f"{self._shown_url} gave no answer within {self._timeout:g} s: give it more (timeout=), or fewer texts."
            ) from error
        except (*FAULTS, httpx.ConnectTimeout) as error:
            raise VectorplugError(
                f"no server answers at {self._shown_url} ({error or type(error).__name__}): start one with "
                "`vectorplug serve`, or correct the URL."
            ) from error
        except httpx.HTTPError as error:
            raise VectorplugError(f"the request to {self._shown_url} failed: {error}.") from error
        raise AssertionError  # the loop returns or raises

    def _strange(self, what: str) -> VectorplugError:
        return VectorplugError(f"the answer of {self._shown_url} {what}: is that a `vectorplug serve` of this version?")


def _checked_url(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as error:
        raise ConfigurationError(f"{url!r} is no URL ({error}); one looks like http://localhost:8090.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(f"{url!r} is no http or https URL; one looks like http://localhost:8090.")
    return parsed


def _authorization(api_key: str | None) -> dict[str, str]:
    if api_key is None:
        return {}
    if not (api_key.isascii() and api_key.isprintable() and api_key.strip()):
        raise ConfigurationError("api_key holds characters that no HTTP header takes: check for a line break in it.")
    return {"authorization": f"Bearer {api_key}"}


def _check_batch_tokens(batch_tokens: int | None) -> None:
    if batch_tokens is not None:
        raise ConfigurationError(
            f"batch_tokens is {batch_tokens}, and the server makes its batches of all clients' texts: leave it out."
        )


def _parts(texts: Sequence[str], most: int) -> list[slice]:
    """Runs of at most so many texts and CHARACTERS_A_REQUEST characters, one text at the least; one run of no text."""
    parts: list[slice] = []
    start = characters = 0
    for i, text in enumerate(texts):
        if i > start and (i - start >= most or characters + len(text) > CHARACTERS_A_REQUEST):
            parts.append(slice(start, i))
            start, characters = i, 0
        characters += len(text)
    return [*parts, slice(start, len(texts))]
