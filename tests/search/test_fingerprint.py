from typing import Any

import pytest
from pydantic import ValidationError

from vectorplug.errors import ConfigurationError, FingerprintError, StoreError
from vectorplug.search.fingerprint import CollectionInfo

STORED = CollectionInfo(
    model="m", encoder="m:1", fde="muvera1:x", dims={"tokens": 16, "fde": 256, "dense": 16}, mode="fde+rerank"
)


def changed(**fields: Any) -> CollectionInfo:
    return STORED.model_copy(update=fields)


def test_it_is_read_as_it_was_written() -> None:
    assert CollectionInfo.from_json(STORED.model_dump_json(), "here") == STORED


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"dims": {}, "mode": "fde"}',
        '{"dims": {"fde": 0}, "mode": "fde"}',
        '{"dims": {"fde": 4}, "mode": "best"}',
        '{"dims": {"colour": 4}, "mode": "fde"}',
        '{"format": 2, "dims": {"fde": 4}, "mode": "fde"}',
        '{"dims": {"fde": 4}, "mode": "fde", "more": 1}',
    ],
)
def test_anything_else_is_an_error_that_names_the_source(text: str) -> None:
    with pytest.raises(StoreError, match="the file /x"):
        CollectionInfo.from_json(text, "the file /x")


def test_it_does_not_change() -> None:
    with pytest.raises(ValidationError):
        STORED.mode = "fde"  # type: ignore[misc]


def test_the_fingerprint_is_one_line() -> None:
    assert STORED.fingerprint == "m:1 | muvera1:x | dense=16 fde=256 tokens=16"
    assert CollectionInfo(dims={"dense": 4}, mode="dense").fingerprint == "vectors given | dense=4"


@pytest.mark.parametrize(
    "opened",
    [
        STORED,
        changed(mode="dense", model="another name of it"),
        changed(dims={"tokens": 16}),
        changed(dims={"tokens": 16}, fde="muvera1:y"),
    ],
)
def test_the_same_vectors_or_fewer_of_them_fit(opened: CollectionInfo) -> None:
    STORED.check_same_vectors(opened, "docs")


@pytest.mark.parametrize(
    "opened",
    [
        changed(encoder="m:2"),
        changed(encoder=None),
        changed(fde="muvera1:y"),
        changed(fde=None),
        changed(dims={"tokens": 16, "fde": 256, "dense": 8}),
    ],
)
def test_other_vectors_are_refused_and_both_are_named(opened: CollectionInfo) -> None:
    with pytest.raises(FingerprintError) as caught:
        STORED.check_same_vectors(opened, "docs")
    for named in (STORED.fingerprint, opened.fingerprint, "'docs'"):
        assert named in str(caught.value)


def test_a_mode_needs_its_vectors() -> None:
    stored = changed(dims={"fde": 256})
    stored.check_mode("fde", "docs")
    with pytest.raises(ConfigurationError, match="needs tokens, collection 'docs' stores fde"):
        stored.check_mode("fde+rerank", "docs")
    with pytest.raises(ConfigurationError, match="needs dense"):
        stored.check_mode("dense", "docs")
