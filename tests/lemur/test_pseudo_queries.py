"""Beginnings of sentences that stand for queries."""

import pytest

from vectorplug.errors import ConfigurationError, InputError
from vectorplug.lemur import pseudo_queries

FIRST = "The wing of the plane was tested in a wind tunnel at low speed. It broke! Why did it break so early that day?"
SECOND = "Heat transfer\n\nin a boundary layer with suction through the wall, which is porous, and with injection."
LONG = " ".join(f"word{i}" for i in range(100))


def test_they_begin_sentences_and_have_six_to_twenty_words():
    made = pseudo_queries([FIRST, SECOND, LONG], 300, seed=1)
    assert len(made) == 300
    beginnings = ("The wing of", "It broke!", "Why did it", "Heat transfer", "in a boundary", "word0 word1")
    assert all(text.startswith(beginnings) for text in made)
    assert all(any(text.startswith(beginning) for text in made) for beginning in beginnings)
    assert {len(text.split()) for text in made if text.startswith("word0")} >= {6, 20}
    assert {len(text.split()) for text in made if text.startswith("word0")} <= set(range(6, 21))
    assert {text for text in made if text.startswith(("It broke", "Heat"))} == {"It broke!", "Heat transfer"}


def test_the_seed_decides():
    texts = [FIRST, SECOND, LONG]
    assert pseudo_queries(texts, 20, seed=3) == pseudo_queries(texts, 20, seed=3)
    assert pseudo_queries(texts, 20, seed=3) != pseudo_queries(texts, 20, seed=4)


def test_languages_without_spaces():
    sentences = ["風洞で翼を調べた\u3002", "それは壊れた\uff01", "なぜか\uff1f"]
    made = set(pseudo_queries(["".join(sentences) + "長" * 500], 100))
    assert made == {*sentences, "長" * 160}


def test_blank_texts_are_never_drawn():
    assert set(pseudo_queries(["", " \n ", "one two three"], 50)) == {"one two three"}


@pytest.mark.parametrize("texts", [[], ["", "  "]])
def test_no_words(texts):
    with pytest.raises(InputError, match=f"none of the {len(texts)} texts has a word"):
        pseudo_queries(texts, 3)


def test_no_count():
    with pytest.raises(ConfigurationError, match="count is 0, expected at least 1"):
        pseudo_queries(["one"], 0)
