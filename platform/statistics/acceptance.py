"""How many drafted tokens ordinary decoding kept, by position: two rates that reports tend to mix up."""

from collections.abc import Iterable
from dataclasses import dataclass

from trivox.platform.records import DecodingStatistics


@dataclass(frozen=True)
class Acceptance:
    """prefix_survival[h]: share of rounds in which drafts 1 to h + 1 all stayed, as StepAudio 2.5 prints it;
    conditional[h]: share of the drafts at h + 1 that stayed where all before had. mean_length: tokens a round,
    1 + the sum of prefix_survival; longest: the most there can be. NaN where nothing was judged."""

    prefix_survival: tuple[float, ...]
    conditional: tuple[float, ...]
    mean_length: float
    longest: int
    rounds: int


def acceptance(statistics: Iterable[DecodingStatistics]) -> Acceptance | None:
    """Of several completions together; None where nothing was drafted. Drafts behind the end of a completion were
    not judged: they count in neither rate.

    Of 10 rounds with 2 drafts, 8 first drafts stayed, 2 of them as the completion's last token, and 3 second ones:
    survival .8 and 3/8, conditional .8 and 3/6, mean length 1 + .8 + .375.
    """
    drafted = [one for one in statistics if any(one.proposed)]
    if not drafted:
        return None
    depth = max(len(one.proposed) for one in drafted)
    proposed, accepted = (
        [sum(part[place] for part in parts if place < len(part)) for place in range(depth)]
        for parts in ([one.proposed for one in drafted], [one.accepted for one in drafted])
    )
    survival = tuple(map(_share, accepted, proposed))
    reached = [proposed[0]]
    for place in range(1, depth):
        ended = proposed[place - 1] - proposed[place]
        reached.append(accepted[place - 1] - ended)
    conditional = tuple(map(_share, accepted, reached))
    return Acceptance(survival, conditional, 1 + sum(survival), depth + 1, proposed[0])


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
