"""A fit in parts."""

from collections.abc import Sequence

import numpy as np
import pytest

from vectorplug.search import artefacts
from vectorplug.search.artefacts import Part, joined, parts_of


@pytest.mark.parametrize("size", [0, 1, 9, 10, 11, 25])
def test_parts_are_joined(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artefacts, "PART_BYTES", 10)
    data = np.random.default_rng(size).bytes(size)
    parts = parts_of("a fit", data)
    assert len(parts) == max(1, -(-size // 10))
    assert parts[-1].number == 0
    kept = {part.key: part for part in parts}
    assert len(kept) == len(parts)
    assert not kept.keys() & {part.key for part in parts_of("another", data)}

    def read(keys: Sequence[str]) -> dict[str, Part]:
        return {key: kept[key] for key in keys if key in kept}

    assert joined("a fit", read) == data
    assert joined("another", read) is None
    for key in list(kept):
        lost = kept.pop(key)
        assert joined("a fit", read) is None
        kept[key] = lost
