"""Pairs of replies whose better one is known, because it was planted; with what a panel would say, and why.

A household assistant with a character answers one request. A reply can have faults. What each of them costs is
written here, a panel of raters with noise judges by it, and their median is the label. None of this is human
judgement: it is simulated, for tests and for the first stage of a judge's training.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import Answer, AnswerKind, Persona, Rubric, Tie
from trivox.reward_models.generative.questions import Line, Question, Reply

THINGS = ("lamp", "heater", "radio", "fan", "oven", "tv")
STATES = ("on", "off")
OPENINGS = ("aye", "gladly", "sure", "very well")
RUDE = ("if you must", "do it yourself", "leave me alone")
MARGINS = (0.5, 1.5, 2.5)
"""Least differences of utility for slightly better, better, much better."""


class Fault(StrEnum):
    """What can be wrong with a reply. thing and state need the request to be seen, character the persona; the
    others show in the reply itself."""

    THING = "thing"
    STATE = "state"
    CHARACTER = "character"
    RUDE = "rude"
    CUT = "cut"
    REPEATED = "repeated"


COST: Mapping[Fault, float] = {
    Fault.THING: 2.0,
    Fault.STATE: 2.0,
    Fault.CHARACTER: 1.0,
    Fault.RUDE: 2.0,
    Fault.CUT: 2.0,
    Fault.REPEATED: 1.0,
}
COVERS: Mapping[str, tuple[Fault, ...]] = {
    "answers": (Fault.THING, Fault.STATE, Fault.CUT),
    "manner": (Fault.CHARACTER, Fault.RUDE, Fault.REPEATED),
}
CRITERIA: Mapping[str, tuple[float, str]] = {
    "answers": (0.6, "does it answer"),
    "manner": (0.4, "is it in manner"),
}


@dataclass(frozen=True)
class Panel:
    """Simulated raters who see utilities with Gaussian noise of their own."""

    raters: int = 5
    noise: float = 0.3
    seed: int = 0

    @property
    def label(self) -> str:
        return f"simulated:panel-{self.raters}x{self.noise:g}"


@dataclass(frozen=True)
class PlantedPair:
    """A question, the panel's answer, and a rationale that agrees with it. group: pairs that share a request,
    which never fall in two splits. criterion: None where all is weighed."""

    question: Question
    answer: Answer
    rationale: str
    group: str
    criterion: str | None = None
    faults: tuple[frozenset[Fault], frozenset[Fault]] = field(default=(frozenset(), frozenset()))

    @property
    def side(self) -> int:
        """1: the first is better, -1: the second, 0: a tie."""
        found = self.answer.comparison
        return 0 if found is None else (1 if found > 0 else -1)


@dataclass(frozen=True)
class _Request:
    thing: str
    state: str
    opening: str

    @property
    def text(self) -> str:
        return f"turn {self.state} the {self.thing}"


def planted_pairs(
    count: int, seed: int, panel: Panel | None = None, rubric_share: float = 0.4
) -> list[PlantedPair]:
    """Pairs drawn from the seed; rubric_share of them ask for one criterion alone. Raises ConfigError."""
    if count < 1 or not 0 <= rubric_share <= 1:
        raise ConfigError(
            f"{count} pairs, rubric share {rubric_share}: give at least 1 and a share of 0 to 1"
        )
    return [_pair(index, seed, panel or Panel(seed=seed), rubric_share) for index in range(count)]


def split(
    pairs: list[PlantedPair], held_out: float, seed: int
) -> tuple[list[PlantedPair], list[PlantedPair]]:
    """Training and held-out pairs; a request is in one of them only."""
    held = {
        group
        for group in sorted({pair.group for pair in pairs})
        if derived_seed("held out", seed, group) % 1000 < 1000 * held_out
    }
    return [p for p in pairs if p.group not in held], [p for p in pairs if p.group in held]


def panel_answer(
    faults: tuple[frozenset[Fault], frozenset[Fault]],
    panel: Panel,
    pair: str,
    criterion: str | None = None,
) -> Answer:
    """The median of the raters' signed strengths; 0 is a tie, of good replies, bad ones, or neither."""
    utilities = [_utility(one, criterion) for one in faults]
    votes = []
    for rater in range(panel.raters):
        rng = random.Random(derived_seed("rater", panel.seed, pair, rater))
        noisy = [one + rng.gauss(0.0, panel.noise) for one in utilities]
        votes.append(_signed(noisy[0] - noisy[1]))
    middle = sorted(votes)[panel.raters // 2]
    if middle:
        return Answer(AnswerKind.COMPARISON, comparison=middle)
    return Answer(AnswerKind.TIE, tie=_tie(sum(utilities) / 2))


def _pair(index: int, seed: int, panel: Panel, rubric_share: float) -> PlantedPair:
    rng = random.Random(derived_seed("planted", seed, index))
    request = _Request(rng.choice(THINGS), rng.choice(STATES), rng.choice(OPENINGS))
    one, other = _faults(rng), _faults(rng)
    if one == other:  # most of such pairs would be copies of each other
        other = frozenset() if one else frozenset({rng.choice(list(Fault))})
    criterion = rng.choice(list(CRITERIA)) if rng.random() < rubric_share else None
    name = derived_id("planted", seed, index)
    replies = [_reply(rng, request, faults) for faults in (one, other)]
    question = Question(
        id=name,
        first=Reply(f"{name}-1", replies[0]),
        second=Reply(f"{name}-2", replies[1]),
        history=(Line("user", request.text),),
        persona=Persona(f"pe-{request.opening}", "planted", "house", 1, request.opening),
        rubric=None if criterion is None else _rubric(criterion),
    )
    answer = panel_answer((one, other), panel, name, criterion)
    said = _rationale((one, other), criterion)
    group = f"{request.text}, {request.opening}"
    return PlantedPair(question, answer, said, group, criterion, (one, other))


def _faults(rng: random.Random) -> frozenset[Fault]:
    """None in four of ten replies, one in four, two in two."""
    return frozenset(rng.sample(list(Fault), rng.choices((0, 1, 2), (0.4, 0.4, 0.2))[0]))


def _reply(rng: random.Random, request: _Request, faults: frozenset[Fault]) -> str:
    def said(fault: Fault, right: str, every: tuple[str, ...]) -> str:
        return rng.choice([one for one in every if one != right]) if fault in faults else right

    opening = said(Fault.CHARACTER, request.opening, OPENINGS)
    subject = f"the {said(Fault.THING, request.thing, THINGS)}"
    state = said(Fault.STATE, request.state, STATES)
    words = f"{opening} {' '.join([subject] * (3 if Fault.REPEATED in faults else 1))}"
    if Fault.CUT not in faults:
        words += f" is {state}"
    return f"{words} {rng.choice(RUDE)}" if Fault.RUDE in faults else words


def _rubric(criterion: str) -> Rubric:
    return Rubric(
        f"ru-{criterion}", "planted", criterion, 1, {criterion: (1.0, CRITERIA[criterion][1])}
    )


def _utility(faults: frozenset[Fault], criterion: str | None) -> float:
    """0 without a fault, less with each one that counts."""
    counted = Fault if criterion is None else COVERS[criterion]
    return -sum(COST[fault] for fault in counted if fault in faults)


def _signed(difference: float) -> int:
    size = sum(abs(difference) >= margin for margin in MARGINS)
    return size if difference > 0 else -size


def _tie(mean: float) -> Tie:
    return Tie.BOTH_GOOD if mean > -0.5 else Tie.BOTH_BAD


def _rationale(faults: tuple[frozenset[Fault], frozenset[Fault]], criterion: str | None) -> str:
    """One clause for each reply, from the faults that count."""
    counted = tuple(Fault) if criterion is None else COVERS[criterion]
    clauses = []
    for name, one in zip(("one", "two"), faults, strict=True):
        wrong = [fault.value for fault in counted if fault in one]
        clauses.append(f"{name} {' and '.join(wrong) + ' wrong' if wrong else 'right'}")
    return " ".join(clauses)
