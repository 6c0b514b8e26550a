import pytest

from vectorplug.errors import InputError
from vectorplug.evaluation import Collection, Document, draw_questions


def collection_of(*documents: tuple[str, str]) -> Collection:
    """Of (title, text)."""
    made = (
        Document(f"d{i}", f"{title} {text}".strip(), {"title": title} if title else {})
        for i, (title, text) in enumerate(documents)
    )
    return Collection("drawn", tuple(made), {}, {}, ("a note.",))


@pytest.mark.parametrize(
    ("title", "text", "question"),
    [
        ("Salt and bread", "Of the sea.", "Salt and bread"),
        ("", "Salt is of the sea. Bread is not.", "Salt is of the sea."),
        ("", "# Waves\n\nThe *sea* has waves!\nMore", "The *sea* has waves!"),
        ("", "Yes. No! What is it about? Salt", "What is it about?"),
        ("", "word " * 50, " ".join(["word"] * 32)),
        ("", "海の塩はとても大切なものです。パンも同じです。", "海の塩はとても大切なものです。"),
        ("", "x" * 1000, "x" * 240),
    ],
)
def test_a_title_else_the_first_sentence(title: str, text: str, question: str) -> None:
    collection = draw_questions(collection_of((title, text), ("", "")))
    assert collection.queries == {"d0": question}
    assert collection.drawn_from == {"d0": "d0"}


def test_equal_questions_are_asked_once_and_it_is_said() -> None:
    given = collection_of(("Salt", "one"), ("Salt", "two"), ("", "Bread is in the oven."), ("", ""), ("", "No."))
    collection = draw_questions(given)
    assert sorted(collection.queries.values()) == ["Bread is in the oven.", "Salt"]
    assert collection.documents == given.documents
    assert collection.qrels == {}
    assert collection.notes[0] == "a note."
    said = "no queries were given: 2 were drawn from the 5 documents (1 titles and 1 first sentences, seed 0)"
    assert collection.notes[1].startswith(said)


def test_a_seeded_number_of_them() -> None:
    given = collection_of(*((f"title {i}", "text") for i in range(100)))
    collection = draw_questions(given, 20)
    assert len(collection.queries) == 20
    assert collection == draw_questions(given, 20)
    assert collection.queries != draw_questions(given, 20, seed=1).queries
    assert draw_questions(given, 100, seed=1).queries.keys() == draw_questions(given).queries.keys()


def test_nothing_to_ask() -> None:
    with pytest.raises(
        InputError, match="has one document and no queries: a question drawn from it would have nothing"
    ):
        draw_questions(collection_of(("Salt", "of the sea")))
    with pytest.raises(InputError, match="none of the 3 documents of 'drawn' has a title or a sentence of 3 words"):
        draw_questions(collection_of(("", ""), ("", "no"), ("", "# \n!")))
