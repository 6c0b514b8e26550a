"""FDEs of a refit in Weaviate: their names in the schema, in an object and in what an object says of its vectors."""

from itertools import combinations
from typing import Any

import numpy as np
from vectorplug_weaviate.batch import objects_of
from vectorplug_weaviate.layout import definition, extended
from vectorplug_weaviate.payload import CONTENT, Content
from vectorplug_weaviate.schema import described, vectors_in
from weaviate.classes.config import Configure
from weaviate.proto.v1 import batch_pb2

from vectorplug.encoded import OUTPUTS, Encoded
from vectorplug.search.fingerprint import CollectionInfo, FdeVectors
from vectorplug.search.hits import Row, Rows

OLD, NEW, ZEROS = "fde_0123456789abcdef", "fde_fedcba9876543210", "fde_0000000000000000"
MADE = CollectionInfo(dims={"tokens": 4, "fde": 6}, mode="fde+rerank")
UNDER_WAY = MADE.model_copy(update={"refit": FdeVectors(fde="lemur1:x", size=8, vector=NEW)})
HASH = "00ff00ff00ff00ff"


def test_an_object_says_which_vectors_it_has() -> None:
    every = (*OUTPUTS, OLD, NEW, ZEROS)
    for count in range(5):
        for names in combinations(every, count):
            if sum(name not in OUTPUTS for name in names) > 2:
                continue
            content = Content.of({CONTENT: str(Content.made(HASH, names))})
            assert content == Content.made(HASH, names)
            assert content.hash == HASH
            assert {name for name in every if content.has(name)} == set(names)
            assert not content.has("nobodys")
    # As it was written before there were refits.
    assert Content.of({CONTENT: "00ff00ff-00ff-00ff-0000-000000000005"}) == Content.made(HASH, ["tokens", "dense"])


def test_a_refit_adds_a_vector_with_the_index_of_the_fdes() -> None:
    creation: Any = {"fde_quantizer": Configure.VectorIndex.Quantizer.rq(bits=8)}
    schema = definition("Docs", MADE, creation, tenants=False)
    begun = extended(schema, UNDER_WAY, {})
    assert begun["vectorConfig"] == {**schema["vectorConfig"], NEW: schema["vectorConfig"]["fde"]}
    assert begun["description"] == described("", UNDER_WAY)
    plain = extended(schema, UNDER_WAY, {"fde_quantizer": Configure.VectorIndex.Quantizer.bq()})
    assert plain["vectorConfig"][NEW] != schema["vectorConfig"]["fde"]
    searched = extended(begun, UNDER_WAY.refitted, {})
    assert searched["vectorConfig"] == begun["vectorConfig"]
    assert vectors_in(UNDER_WAY) == {"tokens": ("tokens", 4), "fde": ("fde", 6), NEW: ("fde", 8)}
    assert vectors_in(UNDER_WAY.refitted) == {"tokens": ("tokens", 4), NEW: ("fde", 8)}


def test_a_document_has_the_fdes_that_are_searched() -> None:
    encoded = Encoded(fde=np.arange(8, dtype=np.float32)[None])
    rows = Rows(rows=[Row(key="00000000-0000-0000-0000-000000000001", id=1, payload={}, content=HASH)], encoded=encoded)
    for names, stored in (({}, "fde"), ({"fde": NEW}, NEW)):
        (pieces,) = objects_of(rows, "Docs", None, names)
        written = batch_pb2.BatchObject.FromString(b"".join(pieces))
        assert [each.name for each in written.vectors] == [stored]
        said = written.properties.non_ref_properties.fields[CONTENT].string_value
        assert Content.of({CONTENT: said}) == Content.made(HASH, [stored])
