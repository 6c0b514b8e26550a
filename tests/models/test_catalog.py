"""The catalogue as data: what every entry has to hold, whichever checkpoints are listed."""

import re
from typing import get_args

import pytest

from vectorplug.models.catalog import CatalogEntry, Kind, catalog, resolve

ENTRIES = list(catalog().values())


def test_there_is_a_choice_of_both_kinds() -> None:
    assert len(ENTRIES) >= 25
    assert {entry.kind for entry in ENTRIES} == set(get_args(Kind))


def test_names_and_ids_are_told_apart() -> None:
    names, ids = set(catalog()), [entry.id.lower() for entry in ENTRIES]
    assert len(set(ids)) == len(ids)
    assert not names & set(ids)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
class TestEveryEntry:
    def test_its_name_can_be_typed_and_its_id_be_loaded(self, entry: CatalogEntry) -> None:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.name)
        assert re.fullmatch(r"package:[a-z0-9_]+|[\w-]+/[\w.-]+", entry.id)

    def test_its_hub_id_resolves_to_it(self, entry: CatalogEntry) -> None:
        if entry.id.startswith("package:"):
            assert entry.install is not None
            return
        assert resolve(entry.name).hub_id == entry.id
        assert resolve(entry.id).entry == entry

    def test_its_facts_name_their_source(self, entry: CatalogEntry) -> None:
        facts = entry.model_dump(exclude_none=True, exclude={"name", "id", "kind", "source"})
        assert not facts or entry.source

    def test_its_sizes_are_positive(self, entry: CatalogEntry) -> None:
        sizes = (entry.token_dim, entry.dense_dim, entry.document_tokens, entry.query_tokens)
        assert all(size is None or size > 0 for size in sizes)

    def test_its_pins_are_whole_digests(self, entry: CatalogEntry) -> None:
        assert entry.revision is None or re.fullmatch(r"[0-9a-f]{40}", entry.revision)
        assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)

    def test_its_words_are_short_and_hold_no_address(self, entry: CatalogEntry) -> None:
        texts = [text for text in entry.model_dump().values() if isinstance(text, str)]
        assert all(0 < len(text) <= 120 and "://" not in text for text in texts)
        assert entry.languages is None or (entry.languages and len(set(entry.languages)) == len(entry.languages))
        assert entry.family is None or re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.family)
