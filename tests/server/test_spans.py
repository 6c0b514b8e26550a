import numpy as np
import pytest

from vectorplug.server.spans import Span, matched

AXES = np.eye(8, dtype=np.float32)


def places(text: str, *pieces: str | None) -> np.ndarray:
    """Where each piece stands in the text, one after the other; None for a marker."""
    found, after = [], 0
    for piece in pieces:
        if piece is None:
            found.append((-1, -1))
        else:
            start = text.index(piece, after)
            after = start + len(piece)
            found.append((start, after))
    return np.array(found, np.int32)


def said(text: str, spans: list[Span]) -> list[tuple[str, float]]:
    return [(text[span.start : span.end], round(span.score, 4)) for span in spans]


def test_each_query_token_goes_to_its_best_token_and_the_best_words_come_first() -> None:
    text = "red fish, blue bird"
    where = places(text, None, "red", "fish", ",", "blue", "bird", None)
    document = AXES[[0, 1, 2, 3, 4, 5, 6]]
    query = np.stack([0.5 * AXES[1], AXES[4] + 0.1 * AXES[1], 0.7 * AXES[4]])
    assert said(text, matched(query, document, where, text)) == [("blue", 0.5667), ("red", 0.1667)]


def test_pieces_become_whole_words_and_neighbours_one_span() -> None:
    text = "an unbelievably  good state-of-the-art thing"
    where = places(text, "an", "un", "believ", "ably", "good", "state", "-", "of", "art")
    document = np.concatenate([AXES, -AXES[:1]])
    found = matched(AXES[[2, 4]], document, where, text)
    assert said(text, found) == [("unbelievably  good", 1.0)]
    assert said(text, matched(AXES[[5, 7, 3]], document, where, text)) == [
        ("state-of", 0.6667),
        ("unbelievably", 0.3333),
    ]


def test_a_script_without_spaces_is_left_in_the_tokenizers_pieces() -> None:
    text = "猫がマットの上"
    assert said(text, matched(AXES[[2]], AXES[:4], places(text, "猫", "が", "マ", "ット"), text)) == [("マ", 1.0)]
    hindi = "यह हिन्दी है"
    assert said(hindi, matched(AXES[[1]], AXES[:3], places(hindi, "यह", "हि", "न्दी"), hindi)) == [("हिन्दी", 1.0)]


@pytest.mark.parametrize("best", [0, 2])
def test_markers_and_punctuation_are_no_words(best: int) -> None:
    text = "word."
    assert matched(AXES[[best]], AXES[:3], places(text, None, "word", "."), text) == []


def test_what_speaks_against_a_document_is_no_match() -> None:
    assert matched(-AXES[[0]], AXES[:1], places("word", "word"), "word") == []
