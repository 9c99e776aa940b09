"""The verdict of several recognisers: each hears the clip, they vote word by word (ROVER), the votes are
counted."""

import json
from collections.abc import Mapping, Sequence

from trivox.platform.hashing import content_hash
from trivox.platform.records import Direction
from trivox.platform.scoring import FailureKind, Item, ScorerInfo, Value, failed, join
from trivox.platform.text.alignment import edit_counts, units
from trivox.platform.text.rover import Consensus, rover_texts
from trivox.reward_models.audio_checks import guarded, speech
from trivox.reward_models.verifiable.recognisers import Recogniser, UnknownLanguage

MIN_VOTES = 2
MOST_DISAGREEMENT = 0.5
"""Share of unresolved places from which the recognisers have no common transcript."""


class Verdict:
    """Error rate between the recognisers' common transcript and a text: lower is better.

    of "speech" (tts, realtime): the text that was to be said against what the recognisers heard in the rollout.
    of "transcript" (asr): the rollout's transcript against what they heard in the recording, so that a policy can
    be rewarded where no true text is known. Only words with MIN_VOTES votes count; uncertainty is the share of
    places without so many, and from MOST_DISAGREEMENT on there is no verdict. evidence: the votes, as JSON.
    """

    def __init__(self, name: str, of: str, recognisers: Mapping[str, Recogniser]) -> None:
        if of not in ("speech", "transcript"):
            raise ValueError(f"a verdict of {of!r}: there are speech and transcript")
        self._of, self._recognisers = of, recognisers
        weights = {name: one.weights_hash for name, one in recognisers.items()}
        self.info = ScorerInfo(
            name=name,
            version="1",
            weights_hash=content_hash([weights, MIN_VOTES, MOST_DISAGREEMENT]),
            family=join([one.family for one in recognisers.values()]),
            component="intelligibility" if of == "speech" else "accuracy",
            unit="error rate",
            direction=Direction.LOWER,
        )

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        text = item.text if self._of == "speech" else item.hypothesis
        if text is None or (self._of == "speech" and not units(text, item.language)):
            kind = FailureKind.NO_TEXT if self._of == "speech" else FailureKind.NO_TRANSCRIPT
            return failed(kind, f"rollout {item.rollout} has no text to compare with")
        samples = speech(item)
        if isinstance(samples, Value):
            return samples
        try:
            heard = {
                name: one.transcribe(samples, item.language)
                for name, one in self._recognisers.items()
            }
        except UnknownLanguage as error:
            return failed(FailureKind.UNKNOWN_LANGUAGE, str(error))
        return self._judged(units(text, item.language), rover_texts(heard, item.language))

    def _judged(self, text: list[str], consensus: Consensus) -> Value:
        disagreement = consensus.disagreement(MIN_VOTES)
        if disagreement > MOST_DISAGREEMENT:
            return failed(
                FailureKind.NO_CONSENSUS,
                f"{disagreement:.0%} of the places have no {MIN_VOTES} votes for one word: {votes(consensus)}",
            )
        agreed = consensus.words(MIN_VOTES)
        truth, said = (text, agreed) if self._of == "speech" else (agreed, text)
        rate = edit_counts(truth, said).total / max(len(truth), 1)
        return Value(rate, uncertainty=disagreement, evidence=votes(consensus))


def votes(consensus: Consensus) -> str:
    """[[word or null, votes], ...] of the chosen arcs, and the number of voters, as JSON."""
    chosen = [[slot.chosen.word, slot.chosen.votes] for slot in consensus.slots]
    told = {"voters": list(consensus.systems), "votes": chosen}
    return json.dumps(told, ensure_ascii=False)
