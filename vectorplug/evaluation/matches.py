"""Which query token matched which document token, and how much of it an FDE saw."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera, reference
from vectorplug.muvera.dialects import Matrices

__all__ = ["Matches", "Seen", "Token", "matched", "named", "pieces", "seen"]

Floats = npt.NDArray[np.float64]
# What a token vector is called that stands for no characters of the text.
MARKER = "(marker)"


@dataclass(frozen=True, slots=True)
class Token:
    """Characters [start, end) of a text, for which one token vector stands; both -1 where it stands for none.

    `begins_word` is False for a piece of a word that began before it.
    """

    text: str
    start: int
    end: int
    begins_word: bool = True

    @property
    def label(self) -> str:
        """Its characters, after an ellipsis where the word began before it."""
        return MARKER if self.start < 0 else self.text if self.begins_word else f"…{self.text}"


@dataclass(frozen=True, eq=False)
class Matches:
    """`similarities` float64 [query tokens, document tokens]: inner products, cosines for tokens at unit norm."""

    query: tuple[Token, ...]
    document: tuple[Token, ...]
    similarities: Floats

    @property
    def best(self) -> npt.NDArray[np.int64]:
        """int64 [query tokens]: the document token that each matches, the first of equals."""
        return np.asarray(self.similarities.argmax(axis=1), np.int64)

    @property
    def scores(self) -> Floats:
        """float64 [query tokens]: what each adds to MaxSim."""
        return np.asarray(self.similarities.max(axis=1))

    @property
    def maxsim(self) -> float:
        """The document's exact score."""
        return float(self.scores.sum())


@dataclass(frozen=True, eq=False)
class Seen:
    """<query FDE, document FDE>, taken apart by query token and repetition; it is about repetitions x MaxSim.

    contributions  float64 [query tokens, repetitions]: their sum is the inner product
    norm           what the document's FDE was divided by; 1 unless it is at unit norm
    before         float64 [query tokens, repetitions]: the same before norm, projection and sketch
    with_match     bool [query tokens, repetitions]: the block holds the token's best match
    company        int64 [query tokens, repetitions]: the document's tokens in the block; 0: it is empty, or filled
    """

    contributions: Floats
    norm: float
    before: Floats
    with_match: npt.NDArray[np.bool_]
    company: npt.NDArray[np.int64]

    @property
    def alone(self) -> npt.NDArray[np.bool_]:
        """Bool [query tokens, repetitions]: the document has no token in the block."""
        return np.asarray(self.company == 0)

    @property
    def score(self) -> float:
        """The inner product of the two FDEs."""
        return float(self.contributions.sum())

    @property
    def repetitions(self) -> int:
        """Independent partitions of the FDE."""
        return int(self.contributions.shape[1])

    @property
    def caught(self) -> Floats:
        """float64 [query tokens]: what the FDE saw of each token, to be compared with its part of MaxSim."""
        return np.asarray(self.contributions.mean(axis=1) * self.norm)

    @property
    def in_blocks(self) -> Floats:
        """float64 [query tokens]: what the blocks held of each token before projection and sketch blurred it."""
        return np.asarray(self.before.mean(axis=1))


def named(text: str, spans: npt.NDArray[np.int32]) -> tuple[Token, ...]:
    """The tokens of `text` by their spans, int32 [tokens, 2], as `Vectorizer.token_spans` gives them."""
    found = []
    last = 0
    for start, end in spans.tolist():
        follows = 0 < start == last and text[start - 1].isalnum() and text[start].isalnum()
        found.append(Token(text[max(start, 0) : max(end, 0)], start, end, not follows))
        last = end if start >= 0 else last
    return tuple(found)


def pieces(text: str, tokens: Sequence[Token]) -> list[tuple[str, tuple[int, ...]]]:
    """The text in order, cut where tokens begin and end, with the positions of the tokens that stand for each piece.

    None for what lies between tokens; a character of several tokens (bytes of one letter) is one piece of all.
    """
    at: dict[tuple[int, int], list[int]] = {}
    for position, token in enumerate(tokens):
        if token.start >= 0:
            at.setdefault((token.start, token.end), []).append(position)
    found: list[tuple[str, tuple[int, ...]]] = []
    done = 0
    for (start, end), positions in sorted(at.items()):
        if end <= done:
            continue
        if start > done:
            found.append((text[done:start], ()))
        found.append((text[max(start, done) : end], tuple(positions)))
        done = end
    return [*found, (text[done:], ())] if done < len(text) else found


def matched(
    query: Sequence[Token], document: Sequence[Token], query_tokens: npt.ArrayLike, document_tokens: npt.ArrayLike
) -> Matches:
    """Token vectors [query tokens, dim] and [document tokens, dim] -> every inner product, in float64."""
    asked, given = np.asarray(query_tokens, np.float64), np.asarray(document_tokens, np.float64)
    return Matches(tuple(query), tuple(document), asked @ given.T)


def seen(muvera: Muvera, query_tokens: npt.ArrayLike, document_tokens: npt.ArrayLike) -> Seen:
    """Token vectors [query tokens, dim] and [document tokens, dim] -> what each query token adds to the FDEs' product.

    A query's FDE is a sum over its tokens, each of which stands in one block a repetition; what it adds is its
    projection times the document's block. A final sketch is linear: a token's part is read out of the sketched
    document, collisions with other blocks included, so that the parts still add up. Source: arXiv 2405.19504,
    section 2.
    """
    made = muvera.matrices
    query = np.asarray(query_tokens, np.float64)
    document = MultiVectors.from_list([np.asarray(document_tokens, np.float32)])
    asked, given = _codes(made, query), _codes(made, document[0].astype(np.float64))
    shape = (len(made.planes), len(made.places), -1)
    repetition, place = np.arange(len(made.planes)), made.places[asked]

    fde = muvera.encode_documents(document)[0].astype(np.float64)
    whole = _unsketched(made, fde).reshape(shape)
    plain = reference.encode_documents(replace(made, projection=None, final=None), document, fill=muvera.fill)[0]
    projected = np.broadcast_to(query[:, None], (len(query), len(repetition), made.dim))
    if made.projection is not None:
        projected = np.einsum("qd,rdp->qrp", query, made.projection.astype(np.float64))
    best = (query @ document[0].astype(np.float64).T).argmax(axis=1)
    return Seen(
        contributions=np.einsum("qrp,qrp->qr", projected, whole[repetition, place]),
        norm=_norm(muvera, document),
        before=np.einsum("qd,qrd->qr", query, plain.reshape(shape)[repetition, place]),
        with_match=asked == given[best],
        company=(asked[:, None] == given[None]).sum(axis=1),
    )


def _codes(made: Matrices, tokens: Floats) -> npt.NDArray[np.int64]:
    """int64 [tokens, repetitions]: the block that each token falls into."""
    bits = np.einsum("td,rkd->trk", tokens, made.planes) > 0
    return np.asarray(bits @ (1 << np.arange(made.planes.shape[1])), np.int64)


def _unsketched(made: Matrices, fde: Floats) -> Floats:
    """float64 [full size]: numbers whose product with an unsketched query is that of the sketched ones."""
    return fde if made.final is None else fde[made.final.columns] * made.final.signs


def _norm(muvera: Muvera, document: MultiVectors) -> float:
    if not muvera.unit_norm:
        return 1.0
    return float(np.linalg.norm(replace(muvera, unit_norm=False).encode_documents(document)[0])) or 1.0
