"""A few of many texts."""

import numpy as np

from vectorplug.search import sample
from vectorplug.search.sample import TextSample


def drawn(texts: list[str], most: int, seed: int = 0) -> list[str]:
    sample = TextSample(most, seed)
    sample.see(iter(texts))
    return sample.texts


def test_few_are_all_in_their_order() -> None:
    assert drawn(["c", "", "a", " \n", "b", "a"], 10) == ["c", "a", "b", "a"]


def test_many_are_a_sample_in_their_order_that_parts_do_not_change() -> None:
    texts = [f"{i:04d}" for i in range(1000)]
    kept = drawn(texts, 50)
    assert len(set(kept)) == 50
    assert kept == sorted(kept)
    assert kept != drawn(texts, 50, seed=1)
    in_parts = TextSample(50, 0)
    for start in range(0, 1000, 7):
        in_parts.see(texts[start : start + 7])
    assert in_parts.texts == kept
    assert in_parts.seen == 1000


def test_each_text_is_as_likely() -> None:
    counts = np.zeros(20)
    for seed in range(500):
        counts[[int(text) for text in drawn([str(i) for i in range(20)], 5, seed)]] += 1
    assert np.abs(counts - 125).max() < 45  # four standard deviations


def test_a_book_is_kept_as_far_as_it_is_read() -> None:
    assert drawn(["a" * (sample.MOST_CHARACTERS + 5)], 1) == ["a" * sample.MOST_CHARACTERS]
