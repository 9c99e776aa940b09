"""ROVER: one transcript by the votes of several systems.

Fiscus 1997, A post-processing system to yield reduced word error rates: Recogniser Output Voting Error
Reduction. Transcripts are laid one after the other along a word transition network, a row of slots; in
each slot every system has one vote, for its word there or for none (a null arc).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivox.platform.errors import UsageError
from trivox.platform.text.alignment import align_to_slots, edit_counts, units
from trivox.platform.text.normalise import by_character


@dataclass(frozen=True)
class Hypothesis:
    """What one system heard, in units; confidences: one for each, 0..1, or None where it gives none."""

    system: str
    words: tuple[str, ...]
    confidences: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.confidences is not None and len(self.confidences) != len(self.words):
            raise UsageError(
                f"system {self.system}: {len(self.words)} words and {len(self.confidences)} confidences: "
                "give one for each word"
            )


@dataclass(frozen=True)
class Arc:
    """One candidate of a slot; word None is the null arc. systems: who voted for it, in the order given."""

    word: str | None
    systems: tuple[str, ...]
    score: float

    @property
    def votes(self) -> int:
        return len(self.systems)


@dataclass(frozen=True)
class Slot:
    """The arcs of one place, the chosen one first. tied: another arc had the same score, and the one of the
    system that was named first was taken."""

    arcs: tuple[Arc, ...]
    tied: bool

    @property
    def chosen(self) -> Arc:
        return self.arcs[0]

    def agreed(self, votes: int) -> bool:
        """Whether the chosen arc, a word or none, has at least so many votes."""
        return self.chosen.votes >= votes


@dataclass(frozen=True)
class Consensus:
    """slots in the order of speech; systems as they were given: of a tie the earlier one's arc is taken."""

    slots: tuple[Slot, ...]
    systems: tuple[str, ...]

    def words(self, min_votes: int = 1) -> list[str]:
        """The chosen words that have at least so many votes."""
        agreed = (slot.chosen.word for slot in self.slots if slot.agreed(min_votes))
        return [word for word in agreed if word is not None]

    def disagreement(self, min_votes: int = 2) -> float:
        """Share of slots in which no arc reaches min_votes, of all but those agreed to hold nothing; 0 of none.

        StepAudio 2.5 drops clips by a "disagreement rate" that it does not define; this one goes with its
        rule that a token is kept with two votes.
        """
        open_slots = [
            slot
            for slot in self.slots
            if slot.chosen.word is not None or not slot.agreed(min_votes)
        ]
        unresolved = sum(not slot.agreed(min_votes) for slot in open_slots)
        return unresolved / len(open_slots) if open_slots else 0.0

    @property
    def ties(self) -> int:
        return sum(slot.tied for slot in self.slots)


def rover(
    hypotheses: Sequence[Hypothesis], alpha: float = 1.0, null_confidence: float = 0.0
) -> Consensus:
    """The vote of two or more systems of different names.

    An arc's score is alpha * votes / systems + (1 - alpha) * mean confidence of its votes (Fiscus 1997, section
    3.2, average confidence); null arcs have null_confidence. alpha 1 counts votes alone.

    The network grows in an order of its own: from the hypothesis nearest to all others on, so the order given
    decides ties and nothing else. Raises UsageError for fewer than two systems, equal names, alpha outside
    0..1, and confidences missing where alpha asks for them.
    """
    _check(hypotheses, alpha)
    network = _network(hypotheses)
    slots = tuple(_slot(votes, hypotheses, alpha, null_confidence) for votes in network)
    return Consensus(slots, tuple(one.system for one in hypotheses))


def rover_texts(texts: Mapping[str, str], language: str) -> Consensus:
    """The vote of systems by name over their texts in a language (BCP-47), each normalised first."""
    return rover([Hypothesis(name, tuple(units(text, language))) for name, text in texts.items()])


def joined(words: Sequence[str], language: str) -> str:
    """Units as one text, with spaces where the language writes them."""
    return ("" if by_character(language) else " ").join(words)


_Votes = list[int | None]
"""For each system, in the order given, the index of its word in this slot, or None for a null arc."""


def _network(hypotheses: Sequence[Hypothesis]) -> list[_Votes]:
    network: list[_Votes] = []
    order = _order(hypotheses)
    for done, system in enumerate(order):
        network = _joined_by(network, hypotheses, system, order[:done])
    return network


def _order(hypotheses: Sequence[Hypothesis]) -> list[int]:
    """Indices: the one with the least edits to all others, the rest by their edits to it; equal ones by words."""
    words = [list(one.words) for one in hypotheses]
    far = [sum(edit_counts(one, other).total for other in words) for one in words]
    first = min(range(len(words)), key=lambda index: (far[index], words[index]))
    return sorted(
        range(len(words)),
        key=lambda index: (
            index != first,
            edit_counts(words[first], words[index]).total,
            words[index],
        ),
    )


def _joined_by(
    network: list[_Votes], hypotheses: Sequence[Hypothesis], system: int, earlier: Sequence[int]
) -> list[_Votes]:
    """The network with one more system laid along it."""
    seen = [{_word(hypotheses[one], votes[one]) for one in earlier} for votes in network]
    wider: list[_Votes] = []
    for slot, word in align_to_slots(seen, hypotheses[system].words):
        votes: _Votes = [None] * len(hypotheses) if slot is None else network[slot]
        votes[system] = word
        wider.append(votes)
    return wider


def _word(hypothesis: Hypothesis, index: int | None) -> str | None:
    return None if index is None else hypothesis.words[index]


def _slot(
    votes: _Votes, hypotheses: Sequence[Hypothesis], alpha: float, null_confidence: float
) -> Slot:
    """Arcs by falling score; equal ones by their first system."""
    voters: dict[str | None, list[int]] = {}
    for system, index in enumerate(votes):
        voters.setdefault(_word(hypotheses[system], index), []).append(system)
    arcs = []
    for word, systems in voters.items():
        sure = null_confidence
        if word is not None and alpha < 1:
            sure = _mean_confidence([(hypotheses[one], votes[one]) for one in systems])
        score = alpha * len(systems) / len(votes) + (1 - alpha) * sure
        arcs.append(Arc(word, tuple(hypotheses[one].system for one in systems), score))
    arcs.sort(key=lambda arc: -arc.score)  # stable: of equal ones the first system's stays first
    return Slot(tuple(arcs), len(arcs) > 1 and arcs[0].score == arcs[1].score)


def _mean_confidence(votes: Sequence[tuple[Hypothesis, int | None]]) -> float:
    """Of votes for a word, in systems that were checked to have confidences."""
    given = [
        one.confidences[index] for one, index in votes if one.confidences and index is not None
    ]
    return math.fsum(given) / len(given)


def _check(hypotheses: Sequence[Hypothesis], alpha: float) -> None:
    if len(hypotheses) < 2:
        raise UsageError(f"a vote of {len(hypotheses)} systems: name at least 2")
    double = [name for name, n in Counter(one.system for one in hypotheses).items() if n > 1]
    if double:
        raise UsageError(f"system {double[0]} is named twice: name each once")
    if not 0 <= alpha <= 1:
        raise UsageError(f"alpha is {alpha}: votes weigh alpha, confidences 1 - alpha: give 0 to 1")
    without = [one.system for one in hypotheses if one.words and one.confidences is None]
    if alpha < 1 and without:
        raise UsageError(
            f"system {without[0]} gives no confidences and alpha is {alpha}: give them, or alpha 1"
        )
