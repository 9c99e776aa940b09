"""Preferences whose truth is known, because it was planted: for tests and for trying the machinery out.

A reply is worth the mean worth of its tokens, each token's drawn from the seed. A panel of raters sees that worth
with Gaussian noise of their own; their majority is the label. None of this is human judgement: it is simulated.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, erf
from statistics import fmean

from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import Branch
from trivox.policy.trainers.dpo import TokenPair
from trivox.policy.vocabulary import TokenMap
from trivox.reward_models.bradley_terry.pairs import RewardPair

CODES = 12
"""Codes, and letters, that replies are made of."""
_LENGTHS = (8, 16)
MARGINS = (0.1, 0.5, 1.0)
"""Least differences of worth, as a rater sees it, for slightly better, better, much better; below: a tie."""


@dataclass(frozen=True)
class Panel:
    """Simulated raters; noise: standard deviation on the worth of each reply, whose own is 1 over replies."""

    raters: int = 5
    noise: float = 0.4
    seed: int = 0

    @property
    def label(self) -> str:
        return f"simulated:panel-{self.raters}x{self.noise:g}"


@dataclass(frozen=True)
class PlantedPair:
    """first, second: completions in tokens; worths: theirs, of mean 0 and deviation 1 over replies. votes: by
    rater, the signed strength for the first, 0 a tie."""

    id: str
    group: str
    branch: Branch
    prompt: list[int]
    first: list[int]
    second: list[int]
    worths: tuple[float, float]
    votes: Mapping[str, int]

    @property
    def side(self) -> int:
        """Of the majority: 1 the first, -1 the second, 0 a tie or no majority."""
        sides = [(vote > 0) - (vote < 0) for vote in self.votes.values()]
        counts = sorted(((sides.count(side), side) for side in (1, -1, 0)), reverse=True)
        return 0 if counts[0][0] == counts[1][0] else counts[0][1]

    @property
    def truth(self) -> int:
        """Of the planted worth."""
        return 1 if self.worths[0] > self.worths[1] else -1


def planted_pairs(
    tokens: TokenMap,
    count: int,
    seed: int,
    panel: Panel | None = None,
    branches: Sequence[Branch] = tuple(Branch),
    prompts: int | None = None,
) -> list[PlantedPair]:
    """count pairs about `prompts` prompts (a quarter as many if not given), the branches in turn. Raises
    ConfigError for no pairs or no raters."""
    judges = panel or Panel(seed=seed)
    groups = prompts or max(1, count // 4)
    if count < 1 or judges.raters < 1 or judges.noise < 0:
        raise ConfigError(
            f"{count} pairs by {judges.raters} raters of noise {judges.noise}: give at least 1, noise from 0"
        )
    worth = _worths(tokens, seed)
    return [
        _pair(tokens, worth, index, index % groups, seed, judges, branches)
        for index in range(count)
    ]


def reward_pair(planted: PlantedPair) -> RewardPair:
    """As it is learned: the majority's side, margin its mean strength, weight its share."""
    side, votes = planted.side, list(planted.votes.values())
    sides = [(vote > 0) - (vote < 0) for vote in votes]
    both = (planted.first, planted.second) if side >= 0 else (planted.second, planted.first)
    margin = max(0.0, side * fmean(votes))
    weight = max(sides.count(side), 1) / len(sides)
    tokens = TokenPair(planted.prompt, *both, margin=margin, weight=weight)
    return RewardPair(planted.id, planted.group, planted.branch, tokens, tie=side == 0)


@dataclass(frozen=True)
class PlantedCandidate:
    """One of many replies to a prompt, with its worth."""

    group: str
    branch: Branch
    prompt: list[int]
    reply: list[int]
    worth: float


def planted_candidates(
    tokens: TokenMap, seed: int, prompts: int, each: int, branch: Branch = Branch.TTS
) -> list[PlantedCandidate]:
    """`each` replies to each of `prompts` prompts that no pair is about, worth as those of the same seed."""
    worth, found = _worths(tokens, seed), []
    for number in range(prompts):
        prompt = _prompt(tokens, branch, seed, f"candidates-{number}")
        for place in range(each):
            rng = random.Random(derived_seed("planted candidate", seed, number, place))
            reply, value = _reply(tokens, worth, branch, rng)
            found.append(
                PlantedCandidate(f"candidates-{seed}-{number}", branch, prompt, reply, value)
            )
    return found


def planted_ceiling(pairs: Sequence[PlantedPair], panel: Panel) -> float:
    """What leaving one rater out must find: how often a rater agrees with the majority of the others, where those
    have one; a tie is half right. Exact, from worths and noise.

    Of a rater's three answers the probabilities follow from the normal distribution of the noise's difference, and
    the majority of the others from the multinomial.
    """
    agreed = known = 0.0
    for pair in pairs:
        p = _answers(pair.worths[0] - pair.worths[1], panel.noise)
        majority = _majority(p, panel.raters - 1)
        for side, other in ((0, 1), (1, 0)):
            agreed += majority[side] * (p[side] + 0.5 * p[2])
            known += majority[side] * (p[side] + p[other] + p[2])
    if not known:
        raise ConfigError(
            f"a panel of {panel.raters} has no others to agree with: 2 raters or more"
        )
    return agreed / known


def _answers(difference: float, noise: float) -> tuple[float, float, float]:
    """Probability that a rater says first, second, tie."""
    if noise == 0:
        first = float(difference >= MARGINS[0])
        second = float(difference <= -MARGINS[0])
        return first, second, 1 - first - second
    scale = noise * 2**0.5

    def above(bound: float) -> float:
        return 0.5 * (1 - erf((bound - difference) / scale / 2**0.5))

    first, second = above(MARGINS[0]), 1 - above(-MARGINS[0])
    return first, second, 1 - first - second


def _majority(p: tuple[float, float, float], raters: int) -> tuple[float, float]:
    """Probability that of so many raters most say first, and that most say second."""
    found = [0.0, 0.0]
    for first in range(raters + 1):
        for second in range(raters + 1 - first):
            tie = raters - first - second
            chance = float(comb(raters, first) * comb(raters - first, second))
            chance *= p[0] ** first * p[1] ** second * p[2] ** tie
            if first > max(second, tie):
                found[0] += chance
            elif second > max(first, tie):
                found[1] += chance
    return found[0], found[1]


def _worths(tokens: TokenMap, seed: int) -> dict[int, float]:
    """Of each token that replies are made of: codes of the first codebook, and letters; half are good."""
    low, high = tokens.audio_range(0)
    letters = [one for one in tokens.writable_ids() if one not in (tokens.pad, tokens.eos)]
    rng = random.Random(derived_seed("worth", seed))
    worth: dict[int, float] = {}
    for ids in (range(low, high), letters):
        drawn = rng.sample(list(ids), min(CODES, len(ids)))
        worth |= {one: (1.0 if place % 2 else -1.0) for place, one in enumerate(drawn)}
    return worth


def _pair(
    tokens: TokenMap,
    worth: Mapping[int, float],
    index: int,
    group: int,
    seed: int,
    panel: Panel,
    branches: Sequence[Branch],
) -> PlantedPair:
    branch = branches[group % len(branches)]
    rng = random.Random(derived_seed("planted reply", seed, index))
    prompt = _prompt(tokens, branch, seed, group)
    made = [_reply(tokens, worth, branch, rng) for _ in range(2)]
    name = derived_id("planted", seed, index)
    worths = (made[0][1], made[1][1])
    votes = {
        f"{panel.label}:{rater}": _vote(worths, panel, name, rater) for rater in range(panel.raters)
    }
    return PlantedPair(
        name, f"prompt-{seed}-{group}", branch, prompt, made[0][0], made[1][0], worths, votes
    )


def _prompt(tokens: TokenMap, branch: Branch, seed: int, group: int | str) -> list[int]:
    known = random.Random(derived_seed("planted prompt", seed, group))
    mark = {Branch.ASR: tokens.asr, Branch.TTS: tokens.tts, Branch.REALTIME: tokens.realtime}
    return [mark[branch], tokens.text, *known.sample(tokens.writable_ids(), 4), tokens.speech]


def _reply(
    tokens: TokenMap, worth: Mapping[int, float], branch: Branch, rng: random.Random
) -> tuple[list[int], float]:
    """Tokens and worth: of letters in asr, of codes else. How many are good is drawn evenly, so that worths are
    apart; their deviation over replies is 1 after scaling by the square root of 3."""
    audio = branch is not Branch.ASR
    good = [one for one, value in worth.items() if value > 0 and tokens.is_audio(one) is audio]
    bad = [one for one, value in worth.items() if value < 0 and tokens.is_audio(one) is audio]
    length = rng.randint(*_LENGTHS)
    count = rng.randint(0, length)
    reply = [rng.choice(good) for _ in range(count)]
    reply += [rng.choice(bad) for _ in range(length - count)]
    rng.shuffle(reply)
    return [*reply, tokens.eos], 3**0.5 * (2 * count / length - 1)


def _vote(worths: tuple[float, float], panel: Panel, pair: str, rater: int) -> int:
    rng = random.Random(derived_seed("rater", panel.seed, pair, rater))
    seen = [one + rng.gauss(0.0, panel.noise) for one in worths]
    difference = seen[0] - seen[1]
    size = sum(abs(difference) >= least for least in MARGINS)
    return size if difference > 0 else -size
