"""fastembed's own code against our dialect of that name."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectorplug.multivectors import MultiVectors
from vectorplug.muvera import Muvera

postprocess = pytest.importorskip("fastembed.postprocess", reason="fastembed is not installed")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_equals_fastembed(data):
    dim = data.draw(st.integers(1, 48))
    parameters = {
        "ksim": data.draw(st.integers(0, 6)),
        "dproj": data.draw(st.integers(1, dim)),
        "repetitions": data.draw(st.integers(1, 6)),
        "seed": data.draw(st.integers(0, 2**31 - 1)),
    }
    lengths = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=3))
    rng = np.random.default_rng(parameters["seed"])
    arrays = [rng.standard_normal((length, dim), dtype=np.float32) for length in lengths]
    theirs = postprocess.Muvera(
        dim, parameters["ksim"], parameters["dproj"], parameters["repetitions"], parameters["seed"]
    )
    tokens = MultiVectors.from_list(arrays)
    for fill in (True, False):
        ours = Muvera(dim=dim, fill=fill, **parameters).encode_documents(tokens)
        expected = np.stack([theirs.process(array, fill_empty_clusters=fill) for array in arrays])
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=2e-5)
    queries = Muvera(dim=dim, **parameters).encode_queries(tokens)
    expected = np.stack([theirs.process_query(array) for array in arrays])
    np.testing.assert_allclose(queries, expected, rtol=1e-4, atol=1e-4)
