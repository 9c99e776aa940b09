"""Whether a reply is in character, by the rules of its persona: opening, address, closing, words never said."""

from collections.abc import Sequence

from trivox.platform.hashing import content_hash
from trivox.platform.personas.character import Rule, in_character
from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed
from trivox.reward_models.audio_checks import guarded


class InCharacter:
    """Share of the persona's rules that the reply keeps, 0..1. evidence: the rules that it breaks.

    The reply is the item's text, else its transcript. Fails typed without a persona, with one that has no rule to
    check (what its description asks for a judge must say), and without words.
    """

    def __init__(self) -> None:
        self.info = ScorerInfo(
            name="in-character",
            version="1",
            weights_hash=content_hash({"scorer": "in-character", "rules": [*Rule]}),
            family="persona-rules",
            component="character",
            unit="fraction",
            direction=Direction.HIGHER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        if item.persona is None:
            return failed(FailureKind.NO_PERSONA, f"rollout {item.rollout} has no persona to keep")
        reply = (item.text or item.hypothesis or "").strip()
        if not reply:
            return failed(FailureKind.NO_TEXT, f"rollout {item.rollout} has no words")
        rules = in_character(item.persona, reply, item.language).results
        if not rules:
            known = ", ".join(Rule)
            message = (
                f"persona {item.persona.name!r} has no rule to check: its traits may be {known}"
            )
            return failed(FailureKind.NO_PERSONA, message)
        broken = [f"{one.rule.value} {one.phrase!r}" for one in rules if not one.passed]
        told = f"broken: {', '.join(broken)}" if broken else f"all {len(rules)} rules kept"
        return Value(1 - len(broken) / len(rules), evidence=told)
