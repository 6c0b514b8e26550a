"""Why a document ranks where it does, in a few sentences."""

import numpy as np

from vectorplug.evaluation.candidates import Standing
from vectorplug.evaluation.matches import Matches, Seen

__all__ = ["sentence"]


def sentence(
    matches: Matches,
    apart: Seen | None,
    by_fde: Standing | None,
    by_maxsim: Standing | None,
    share: float | None,
    usual: float | None,
) -> str:
    """Where it ranks, what the FDE saw of it, and at which query token it lost most; see `Explanation`."""
    said = []
    if (places := _places(by_fde, by_maxsim)) is not None:
        said.append(places)
    if share is not None:
        beside = "" if usual is None else f" ({usual:.0%} for the median candidate)"
        said.append(f"The FDE saw {share:.0%} of its exact score{beside}.")
    return " ".join([*said, *([] if apart is None else _weakest(matches, apart))])


def _weakest(matches: Matches, apart: Seen) -> list[str]:
    """The query token of which the FDE lost most, and why."""
    lost = np.where(matches.scores > 0, matches.scores - apart.caught, 0.0)
    worst = int(lost.argmax())
    if lost[worst] <= 0:
        return ["It saw no query token weaker than it is."]
    token, match = matches.query[worst], matches.document[matches.best[worst]]
    together, alone = int(apart.with_match[worst].sum()), int(apart.alone[worst].sum())
    of = apart.repetitions
    whose = f"`{token.label}`, matched by `{match.label}` at {matches.scores[worst]:.2f}"
    saw = max(apart.caught[worst] / matches.scores[worst], 0.0)
    others = apart.company[worst][apart.with_match[worst]] - 1
    among = f", where it is averaged with {others.mean():.0f} other tokens" if others.sum() else ""
    reasons = [f"the two fall into one block in {together} of {of} repetitions{among}"]
    if alone:
        reasons.append(f"`{token.label}` falls into a block of its own in {alone}")
    said = [f"It lost most at {whose}: it saw {saw:.0%} of that match, because {', and '.join(reasons)}."]
    blurred = apart.in_blocks[worst] - apart.caught[worst]
    if blurred > lost[worst] / 2:
        said.append(f"Most of that loss ({blurred:.2f}) is the projection's, not the blocks'.")
    return said


def _places(by_fde: Standing | None, by_maxsim: Standing | None) -> str | None:
    if by_fde is None or by_fde.ranked == 0:
        return None
    if by_fde.rank is None:
        return f"It is not among the {by_fde.ranked} candidates that the FDE found, so no rerank could save it."
    if by_maxsim is None or by_maxsim.rank is None:
        return f"By FDE it is number {by_fde.rank} of {by_fde.ranked} candidates."
    if by_fde.rank == by_maxsim.rank:
        return f"By FDE it is number {by_fde.rank} of {by_fde.ranked} candidates, and by exact MaxSim, too."
    worse = "worse" if by_fde.rank > by_maxsim.rank else "better"
    return (
        f"By FDE it is number {by_fde.rank} of {by_fde.ranked} candidates, {worse} than by exact MaxSim, "
        f"where it is number {by_maxsim.rank}."
    )
