import pytest

from vectorplug.errors import ConfigurationError
from vectorplug.search.modes import MODES, Plan, default_candidates, plan_of


def test_every_mode_has_a_plan() -> None:
    assert {mode: plan_of(mode) for mode in MODES} == {
        "native": Plan("tokens", None),
        "fde": Plan("fde", None),
        "fde+rerank": Plan("fde", "tokens"),
        "dense": Plan("dense", None),
        "dense+rerank": Plan("dense", "tokens"),
        "hybrid": Plan("fde", None, words=True),
        "hybrid+rerank": Plan("fde", "tokens", words=True),
    }


def test_a_plan_needs_what_finds_and_what_ranks() -> None:
    assert set(plan_of("fde+rerank").outputs) == {"fde", "tokens"}
    assert plan_of("native").outputs == ("tokens",)


@pytest.mark.parametrize("mode", ["", "FDE", "fde+", "rerank"])
def test_an_unknown_mode_lists_the_known(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=", ".join(MODES).replace("+", r"\+")):
        plan_of(mode)


@pytest.mark.parametrize(("limit", "candidates"), [(1, 100), (10, 100), (11, 110), (1000, 10_000)])
def test_ten_candidates_a_hit_and_at_least_a_hundred(limit: int, candidates: int) -> None:
    assert default_candidates(limit) == candidates
