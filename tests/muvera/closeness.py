"""Vectors of a fast path beside the plain reference's."""

import numpy as np

from vectorplug.muvera import reference


def assert_equals_reference(muvera, tokens, documents, queries, *, relative, absolute):
    """`documents` and `queries` float32 [n, size], made of the same tokens, are those of reference.py to rounding.

    Where a document's numbers cancel, all that is left of them is rounding, which unit norm makes as large as anything:
    it is allowed as many times more of it.
    """
    plain = reference.encode_documents(muvera.matrices, tokens, fill=muvera.fill, unit_norm=False)
    expected = reference.encode_documents(muvera.matrices, tokens, fill=muvera.fill, unit_norm=muvera.unit_norm)
    more = np.ones(len(tokens))
    if muvera.unit_norm:
        largest = [np.linalg.norm(document.astype(np.float64), axis=1).max() for document in tokens]
        with np.errstate(divide="ignore", invalid="ignore"):
            more = np.fmax(1, np.array(largest) / np.linalg.norm(plain, axis=1))
    asked = reference.encode_queries(muvera.matrices, tokens)
    for found, wanted, times in ((documents, expected, more), (queries, asked, np.ones(len(tokens)))):
        assert found.dtype == np.float32
        assert found.shape == wanted.shape == (len(tokens), muvera.size)
        scale = np.abs(wanted).max(initial=1)
        allowed = relative * np.abs(wanted) + absolute * scale * times[:, None]
        assert (np.abs(found - wanted) <= allowed).all()
