"""Why a document of a collection ranks where it does for a question."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vectorplug.compressor import Compressor
from vectorplug.errors import ConfigurationError, InputError, StoreError
from vectorplug.evaluation.candidates import Candidates, Standing, share_of
from vectorplug.evaluation.matches import Matches, Seen, Token, matched, named, seen
from vectorplug.evaluation.wording import sentence
from vectorplug.lemur import Lemur
from vectorplug.models.names import Role
from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera
from vectorplug.search import Store
from vectorplug.search.hits import Id
from vectorplug.search.ingest import TEXT
from vectorplug.search.text_vectorizer import TextVectorizer
from vectorplug.search.whole_tokens import cuts_tokens, encode_whole
from vectorplug.vectorizer import Vectorizer

__all__ = ["Explanation", "explain"]

# The store's own MaxSim may differ by so much from the one of the text encoded again: float16, int8, bfloat16.
SAME_SCORE = 0.02


@dataclass(frozen=True, eq=False)
class Explanation:
    """One question, one document, and what each of the two stages of a search made of them.

    `by_fde` and `by_maxsim` are its places among the store's candidates, the documents with the best FDEs; None
    where the collection lacks those vectors. `seen` is None without an FDE that can be taken apart. `share` is
    what the FDE saw of the exact score, <query FDE, document FDE> / (repetitions x MaxSim), `usual` the median of
    that among the candidates. `parts` float32 [query tokens] add up to the score of a Lemur's FDE: what each token adds
    or takes beyond the mean document; None for other FDEs.
    """

    question: str
    id: Id
    payload: dict[str, Any]
    text: str
    model: str
    matches: Matches
    seen: Seen | None
    by_fde: Standing | None
    by_maxsim: Standing | None
    share: float | None
    usual: float | None
    notes: tuple[str, ...]
    parts: npt.NDArray[np.float32] | None = None

    @property
    def sentence(self) -> str:
        """What happened, in words; "" where there is no FDE."""
        return sentence(self.matches, self.seen, self.by_fde, self.by_maxsim, self.share, self.usual)

    def to_json(self) -> dict[str, Any]:
        """Everything but the payload and the similarities that no query token chose, for `json.dumps`."""
        matches, fde = self.matches, self.seen
        rows = []
        for i, (token, best) in enumerate(zip(matches.query, matches.best.tolist(), strict=True)):
            row: dict[str, Any] = {
                "token": _place(token),
                "matched": {"position": best, **_place(matches.document[best])},
                "score": float(matches.scores[i]),
            }
            if fde is not None:
                row["fde"] = {
                    "caught": float(fde.caught[i]),
                    "before_projection": float(fde.in_blocks[i]),
                    "with_match": int(fde.with_match[i].sum()),
                    "alone": int(fde.alone[i].sum()),
                    "contributions": fde.contributions[i].tolist(),
                }
            if self.parts is not None:
                row["fde"] = {"part": float(self.parts[i])}
            rows.append(row)
        return {
            "question": self.question,
            "id": self.id,
            "model": self.model,
            "maxsim": {"score": matches.maxsim, **_standing(self.by_maxsim)},
            "fde": None
            if self.by_fde is None
            else {"score": self.by_fde.score, **_standing(self.by_fde), "share": self.share, "usual_share": self.usual},
            "repetitions": None if fde is None else fde.repetitions,
            "tokens": rows,
            "why": self.sentence,
            "notes": list(self.notes),
        }


def explain(store: Store[Any], question: str, document_id: Id, *, candidates: int = 100) -> Explanation:
    """Take apart why `document_id` ranks where it does for `question`, among the store's best `candidates` by FDE.

    The document's text is read from the store's payload and encoded again with the collection's own model.
    Raises StoreError without such a collection, InputError for an id that is not there or has no text.
    """
    if store.info is None:
        raise StoreError(f"collection {store.collection!r} does not exist yet: there is nothing to explain.")
    if not question.strip():
        raise InputError("the question is empty; say what was asked.")
    found_id, payload = _found(store, document_id)
    text = payload.get(TEXT)
    if not isinstance(text, str) or not text.strip():
        raise InputError(
            f"document {found_id!r} has no text in its payload field {TEXT!r} (it has {', '.join(payload) or 'none'}): "
            "its tokens cannot be named without it. Add it with a text, add(texts, ids=...)."
        )
    vectorizer = store.vectorizer
    notes = [f"the document's text was encoded again with {vectorizer.model}, the collection's own model"]
    query = _tokens(vectorizer, question, "query", notes)
    document = _tokens(vectorizer, text, "document", notes)
    matches = matched(
        _named(vectorizer, question, "query", len(query), notes),
        _named(vectorizer, text, "document", len(document), notes),
        query,
        document,
    )
    found = Candidates.of(store, question, candidates)
    fde = vectorizer.fde if "fde" in store.info.dims else None
    apart = seen(fde, query, document) if isinstance(fde, Muvera) else None
    by_fde = by_maxsim = share = usual = parts = None
    if fde is None:
        notes.append("the collection stores no FDE: what it found by other vectors is not explained here")
    else:
        by_fde = found.standing(found.by_fde, found_id, _product(fde, query, document))
        same = _is_same("FDE", found.by_fde.get(found_id), by_fde.score, notes)
        if isinstance(fde, Lemur):
            parts = _parts(fde, query, document)
        elif apart is None:
            notes.append("the collection's FDE is not of MUVERA and cannot be taken apart by query token")
        else:
            share, usual = share_of(apart.score, matches.maxsim, apart), found.usual(apart) if same else None
    if "tokens" in store.info.dims:
        by_maxsim = found.standing(found.by_maxsim, found_id, matches.maxsim)
        _is_same("exact", found.by_maxsim.get(found_id), matches.maxsim, notes)
    return Explanation(
        question, found_id, payload, text, vectorizer.model, matches, apart, by_fde, by_maxsim, share, usual,
        tuple(notes), parts,
    )  # fmt: skip


def _product(fde: Compressor, query: npt.NDArray[np.float32], document: npt.NDArray[np.float32]) -> float:
    """<query FDE, document FDE>."""
    asked = fde.encode_queries(MultiVectors.from_list([query]))
    return float(asked[0] @ fde.encode_documents(MultiVectors.from_list([document]))[0])


def _parts(lemur: Lemur, query: npt.NDArray[np.float32], document: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [query tokens]: a query's vector is a sum over its tokens, so its score is, too."""
    alone = MultiVectors(query, np.arange(len(query) + 1))
    parts: npt.NDArray[np.float32] = (
        lemur.encode_queries(alone) @ lemur.encode_documents(MultiVectors.from_list([document]))[0]
    )
    return parts


def _is_same(kind: str, stored: float | None, own: float, notes: list[str]) -> bool:
    """Whether the store's own score is that of the text encoded again; else a note says so."""
    if stored is None or abs(stored - own) <= SAME_SCORE * max(abs(stored), 1):
        return True
    notes.append(
        f"the store's own {kind} score of it is {stored:.4f}, not {own:.4f}: its vectors are of another text than its "
        "payload's, or are kept with fewer bits"
    )
    return False


def _found(store: Store[Any], document_id: Id) -> tuple[Id, dict[str, Any]]:
    """The document under that id; a number that was typed as a word is looked for as both."""
    tried: list[Id] = [document_id]
    if isinstance(document_id, str) and document_id.lstrip("-").isdecimal():
        tried.append(int(document_id))
    for each in tried:
        if (payload := store.payloads([each]).get(each)) is not None:
            return each, payload
    raise InputError(
        f"document {document_id!r} is not in collection {store.collection!r}, which holds {store.count():,}; "
        "`vectorplug search` prints the ids of what it finds."
    )


def _tokens(vectorizer: TextVectorizer, text: str, role: Role, notes: list[str]) -> npt.NDArray[np.float32]:
    """float32 [tokens, dim]: those of which the FDE is folded, neither pooled nor cut to fewer numbers."""
    if cuts_tokens(vectorizer):
        note = "the collection keeps fewer tokens or numbers than those shown, of which its FDEs are made"
        notes += [] if note in notes else [note]
    dim = None if vectorizer.fde is None else vectorizer.fde.dim
    encoded = encode_whole(vectorizer, [text], role, dim, show_progress_bar=False)
    if encoded.tokens is None:
        raise ConfigurationError(f"{vectorizer.model} gives no token vectors: there is nothing to match.")
    if encoded.truncated is not None and encoded.truncated[0]:
        notes.append(f"{encoded.truncated[0]} tokens at the end of the {role} were cut at the limit: none matches")
    return encoded.tokens[0]


def _named(vectorizer: TextVectorizer, text: str, role: Role, count: int, notes: list[str]) -> tuple[Token, ...]:
    """`count` tokens by their characters, or all as markers where the model does not tell them."""
    if isinstance(vectorizer, Vectorizer):
        spans = vectorizer.token_spans([text], role)[0]
        if len(spans) == count and (spans >= 0).any():
            return named(text, spans)
    notes.append(f"which characters of the {role} its vectors stand for is not known for this model: (marker)")
    return named(text, np.full((count, 2), -1, np.int32))


def _place(token: Token) -> dict[str, Any]:
    return {"text": token.text, "start": token.start, "end": token.end}


def _standing(standing: Standing | None) -> dict[str, Any]:
    return {"rank": None, "of": None} if standing is None else {"rank": standing.rank, "of": standing.ranked}
